"""Which touches of two proposals collide."""

import pytest

from rtserver.reviews.collisions import (
    MAX_COLLISIONS,
    MAX_TOUCHES,
    Collision,
    Operation,
    Touch,
    collisions_between,
    kept_touches,
)


def _touch(operation: Operation, name: str = "Late fee", capability: str = "fees") -> Touch:
    return Touch(capability, name, operation, operation == "added")


@pytest.mark.parametrize(
    ("here", "there", "collide"),
    [
        ("modified", "modified", True),
        ("modified", "removed", True),
        ("renamed", "modified", True),
        ("added", "added", True),
        ("added", "modified", False),
    ],
)
def test_what_is_there_and_what_is_new_collide_among_themselves(
    here: Operation, there: Operation, collide: bool
) -> None:
    found = collisions_between([_touch(here)], [("other", [_touch(there)])])
    assert found == ((Collision("other", "fees", "Late fee", here, there),) if collide else ())


def test_a_name_in_another_capability_is_another_requirement() -> None:
    there = [_touch("modified", capability="loans"), _touch("modified", "Late fees")]
    assert collisions_between([_touch("modified")], [("other", there)]) == ()


def test_collisions_are_in_order_and_bounded() -> None:
    names = [f"R{number:03}" for number in range(MAX_COLLISIONS + 1)]
    mine = [_touch("modified", name) for name in reversed(names)]
    found = collisions_between(mine, [("b", mine), ("a", mine[:1])])
    assert len(found) == MAX_COLLISIONS
    assert [(each.proposal_id, each.requirement) for each in found[:3]] == [
        ("a", names[-1]),
        ("b", "R000"),
        ("b", "R001"),
    ]


def test_touches_are_kept_once_and_within_bounds() -> None:
    twice = [_touch("removed"), _touch("modified"), _touch("modified", "x" * 1_000)]
    assert kept_touches(twice) == [_touch("modified")]
    many = [_touch("modified", str(number)) for number in range(MAX_TOUCHES + 1)]
    assert kept_touches(many) == many[:-1]


def test_a_key_says_all_of_a_touch_but_what_is_done() -> None:
    for touch in (_touch("added"), _touch("renamed")):
        assert Touch.from_key(touch.key, touch.operation) == touch
