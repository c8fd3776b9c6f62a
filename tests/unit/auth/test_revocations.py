"""Which tokens a revocation refuses."""

import pytest

from rtserver.auth.revocations import Revocations
from rtserver.model.identity import Identity

NOW_S = 1_800_000_000.0


def issued(user_id: str, issued_at: float | None) -> Identity:
    return Identity(user_id, user_id, frozenset(), frozenset(), NOW_S + 600, issued_at)


@pytest.mark.parametrize(
    ("user_id", "issued_at", "refused"),
    [
        ("ada", NOW_S - 1, True),
        ("ada", NOW_S - 0.001, True),
        ("ada", NOW_S, False),
        ("ada", NOW_S + 1, False),
        ("ada", None, True),  # nobody can tell that it is a new one
        ("ben", NOW_S - 1, False),
        ("ben", None, False),
    ],
)
def test_tokens_of_before_are_refused(user_id: str, issued_at: float | None, refused: bool) -> None:
    known = Revocations()
    assert not known.refuses(issued(user_id, issued_at))
    known.learn("ada", NOW_S)
    assert known.refuses(issued(user_id, issued_at)) is refused


def test_only_a_later_moment_is_news() -> None:
    known = Revocations()
    assert known.learn("ada", NOW_S)
    assert not known.learn("ada", NOW_S)
    assert not known.learn("ada", NOW_S - 1)
    assert known.refuses(issued("ada", NOW_S - 0.5))
    assert known.learn("ada", NOW_S + 1)
    assert known.refuses(issued("ada", NOW_S + 0.5))
