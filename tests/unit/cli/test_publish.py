import pytest

from rtserver.cli.command_line import USAGE
from rtserver.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["publish", "p1"], "required"),
        (["publish", "p1", "output"], "has no dot"),
        (["publish", "p1", "a.b", "{"], "is not JSON"),
        (["publish", "a/b", "a.b"], "project id"),
        (["publish", "p1", "a.b", "--proposal", "../x"], "proposal id"),
        (["publish", "p1", "a.b", "--audience", "members"], "invalid choice"),
        (["publish", "p1", "a.b", "--audience", "project", "--user", "u"], "not both"),
        (["publish", "p1", "a.b", "--audience", "proposal"], "needs --proposal"),
        (["publish", "p1", "-", "--proposal", "p"], "each line says"),
        (["publish", "p1", "-", "{}"], "each line says"),
        (["publish", "p1", "a.b", "--user", ""], "user id"),
        (["token", "--user", ""], "user id"),
        (["token", "--user", "a\x01"], "control characters"),
        (["token", "--user", "a", "--project", "a/b"], "project id"),
        (["tail", "p1", "--from", "nonsense"], "not an event id"),
        (["tail", "p1", "--proposal", "../x"], "proposal id"),
    ],
)
def test_a_wrong_command_line_is_said_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE
    said = capsys.readouterr().err
    assert complaint in said
    assert "Traceback" not in said
