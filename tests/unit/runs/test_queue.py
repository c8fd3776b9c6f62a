"""The queue of waiting runs."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.model.errors import BusyError
from rtserver.runs.queue import RunQueue


def queue(*runs: str, per_project: int = 100, in_all: int = 1000) -> RunQueue:
    """Runs are named after their project: `a1` is of project `a`."""
    made = RunQueue(max_waiting_per_project=per_project, max_waiting=in_all)
    for run in runs:
        made.add(run, run[0])
    return made


def drained(waiting: RunQueue) -> list[str]:
    order = []
    while (project := waiting.next()) is not None:
        order.append(waiting.take(project))
    return order


def test_projects_take_turns() -> None:
    assert drained(queue("a1", "a2", "a3", "b1", "c1", "b2")) == [
        "a1",
        "b1",
        "c1",
        "a2",
        "b2",
        "a3",
    ]


def test_a_new_project_waits_for_one_run_of_each_other() -> None:
    waiting = queue("a1", "a2", "a3")
    assert waiting.take("a") == "a1"
    waiting.add("b1", "b")
    assert drained(waiting) == ["a2", "b1", "a3"]


def test_blocked_projects_are_passed_over_and_keep_their_turn() -> None:
    waiting = queue("a1", "b1", "b2")
    assert waiting.next({"a"}) == "b"
    assert waiting.take("b") == "b1"
    assert waiting.next({"a", "b"}) is None
    assert waiting.next() == "a"


def test_bounds() -> None:
    waiting = queue("a1", "a2", per_project=2, in_all=3)
    with pytest.raises(BusyError):
        waiting.add("a3", "a")
    waiting.add("b1", "b")
    with pytest.raises(BusyError):
        waiting.add("c1", "c")
    assert waiting.remove("a1", "a")
    assert not waiting.remove("a1", "a")
    waiting.add("c1", "c")
    with pytest.raises(BusyError):
        queue(per_project=0).add("a1", "a")


def test_places() -> None:
    waiting = queue("a1", "b1", "a2", "a3")
    waiting.remove("a2", "a")
    assert waiting.waiting("a") == ("a1", "a3")
    assert waiting.waiting("z") == ()
    assert sorted(waiting.projects) == ["a", "b"]
    assert len(waiting) == 3
    with pytest.raises(KeyError):
        waiting.take("z")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_nobody_is_forgotten_and_nobody_overtakes(steps: list[tuple[str, bool]]) -> None:
    waiting = queue()
    expected: dict[str, list[str]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    for number, (project, arrives) in enumerate(steps):
        if arrives:
            waiting.add(f"{project}{number}", project)
            expected[project].append(f"{project}{number}")
            continue
        turn = waiting.next()
        if turn is None:
            assert not any(expected.values())
            continue
        assert waiting.take(turn) == expected[turn].pop(0)
        skipped[turn] = 0
        for other in "abc":
            if other != turn and expected[other]:
                skipped[other] += 1
                assert skipped[other] <= 2  # once for each other project
            elif not expected[other]:
                skipped[other] = 0
    assert len(waiting) == sum(map(len, expected.values()))
