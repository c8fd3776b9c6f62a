import msgspec
import pytest

from handlers.api.proposals import NewProposalBody, ProposalChangesBody
from rtserver.lib.decode_errors import complaint, why_not_json

STATUSES = "draft, in_review, approved, rejected, archived"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{}", "Object missing required field title"),
        ("[]", "Expected object, got array"),
        ('{"title": 5}', "title: expected str, got int"),
        ('{"title": "a", "reviewers": ["b", 1]}', "reviewers[1]: expected str, got int"),
        (
            '{"title": "a", "status": "open"}',
            f"status: invalid enum value 'open'; it takes {STATUSES}",
        ),
    ],
)
def test_the_place_comes_first_and_values_to_choose_from_are_listed(body: str, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=NewProposalBody)
    assert complaint(caught.value, NewProposalBody) == said


def test_values_are_listed_where_the_field_may_be_left_out() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode('{"status": "open"}', type=ProposalChangesBody)
    assert complaint(caught.value, ProposalChangesBody).endswith(STATUSES)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is empty"),
        (b" \n", "The body is empty"),
        (b"nul", "The body is not JSON"),
        (b"\x1f\x8b\x08", "The body is not JSON"),
        (b'"\xff"', "it is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (rb'{"x":{"\ud800":1}}', "half of a surrogate pair"),
        (rb'["\ud800"]', "half of a surrogate pair (such as \\ud800)"),
        (rb'{"\udc00": 1}', "half of a surrogate pair"),
        (rb'["\ud800 and more text"]', "half of a surrogate pair"),
        (rb'["\ud800\u0041"]', "half of a surrogate pair"),
        (rb'["\ud83d\ude00', "The body is not JSON"),
    ],
)
def test_what_is_not_json_is_told_apart(body: bytes, said: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError, RecursionError)) as caught:
        msgspec.json.decode(body)
    assert said in why_not_json(body, caught.value)
