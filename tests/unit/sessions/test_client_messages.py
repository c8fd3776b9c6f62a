import pytest

from rtserver.sessions.client_messages import CommandParser, MessageRefusedError, View, parse_hello

NO_HELLO = "The first message must be a hello with project_id and token"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", NO_HELLO),
        ("[]", NO_HELLO),
        ("[" * 100_000, NO_HELLO),
        ('{"type": "secret", "token": "secret"}', NO_HELLO),
        ('{"type": "hello"}', "hello: Object missing required field project_id"),
        (
            '{"type": "hello", "project_id": 5, "token": "secret"}',
            "hello: project_id: expected str, got int",
        ),
        (
            '{"type": "hello", "project_id": "p", "token": "secret", "proposal_ids": "a"}',
            "hello: proposal_ids: expected array, got str",
        ),
        (
            '{"type": "hello", "project_id": "p", "token": ["secret"]}',
            "hello: token: expected str, got array",
        ),
        (
            '{"type": "hello", "project_id": "p", "last_event_id": 7}',
            "hello: last_event_id: expected str | null, got int",
        ),
    ],
)
def test_of_a_hello_it_is_said_what_is_wrong_and_nothing_is_quoted(text: str, said: str) -> None:
    with pytest.raises(MessageRefusedError) as caught:
        parse_hello(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r'{"type": "view", "proposal_ids": [], "request_id": "a\ud83d"}', "half of a surrogate"),
        ('{"type": "view", "proposal_ids": [], "request_id": "a\ud83d"}', "half of a surrogate"),
        ('{"x":' + "[" * 100_000, "The message is nested too deeply"),
        ("{", "The message is not JSON: Input data was truncated"),
        ("", "The message is empty; JSON is needed"),
    ],
)
def test_a_command_that_is_no_json_is_told_why(text: str, said: str) -> None:
    with pytest.raises(MessageRefusedError, match=said) as caught:
        CommandParser([View])(text)
    assert caught.value.reason == "malformed"
