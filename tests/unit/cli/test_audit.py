"""`audit` on the command line; its use on a log is in tests/integration/test_cli_audit.py."""

from pathlib import Path

import msgspec
import pytest

from rtserver.cli.audit import _json_line, _line
from rtserver.cli.command_line import USAGE
from rtserver.cli.main import main
from rtserver.model.audience import Audience, AudienceKind
from rtserver.model.events import StoredEvent


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--action", "lock.aquired"], "did you mean lock.acquired?"),
        (["--action", "*.opened"], "* stands at the end"),
        (["--outcome", "permitted"], "outcome is one of allowed, denied, failed"),
        (["--since", "yesterday"], "since takes a time such as"),
        (["--project-id", "../etc"], "project_id: "),
        (["--actor", ""], "actor takes 1 to 256"),
        (["--history", "0"], "whole number from 1"),
        (["--from", "nonsense"], "not an event id"),
        (["--from", "e0e0-1", "--history", "3"], "not both"),
        (["--acton", "x"], "--acton"),
        (["verify", "--actor=ada"], "--actor=ada"),
        (["verify", "--offline"], "needs archives"),
        (["verify", "no-such-file"], "there is no"),
        (["verify", "--against", "no-such-file"], "there is no"),
        (["dance"], "dance"),
    ],
)
def test_a_wrong_command_line_is_said_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *arguments]) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_report_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert main(["audit", "verify", "--offline", str(path), "--against", str(path)]) == 1
    assert "is no report of" in capsys.readouterr().err


def _stored(**fields: object) -> StoredEvent:
    frame = {"action": "api.called", "outcome": "denied", "ts": "2026-01-31T14:00:00.000Z"}
    body = msgspec.json.encode({**frame, **fields}).decode()
    return StoredEvent(
        "$audit", "e0e0", 7, "api.called", None, Audience(AudienceKind.PROJECT), body
    )


def test_a_line_for_people_says_who_did_what_on_what_from_where() -> None:
    record = _stored(actor="ada", project_id="p1", target="t", ip="::1", details={"status": 403})
    assert _line(record).split() == [
        "2026-01-31T14:00:00.000Z",
        "denied",
        "api.called",
        "actor=ada",
        "project=p1",
        "target=t",
        "ip=::1",
        '{"status":403}',
    ]


# Escape sequences, also as one character (C1); a line end; text that turns its direction.
HOSTILE = "a\x1b[2J\x9b1mb\nforged\r\u202ec\u2028d"


@pytest.mark.parametrize("where", ["actor", "target", "ip", "details"])
def test_what_others_wrote_can_not_drive_the_terminal(where: str) -> None:
    record = _stored(**{where: {HOSTILE: HOSTILE} if where == "details" else HOSTILE})
    assert _line(record).isprintable()
    printed = _json_line(record)
    assert printed.isprintable()
    assert msgspec.json.decode(printed) == msgspec.json.decode(record.payload)
