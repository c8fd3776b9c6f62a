"""The checker sees each of many ways to break a promise, and finds none in a clean history."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.chaos.checker import PROMISES, check
from tests.chaos.history import HistoryFile, Record, read_history
from tests.chaos.perfect import perfect_history
from tests.chaos.spoilings import SPOILINGS

CLEAN = perfect_history()


def test_a_history_in_which_every_promise_is_kept_is_clean() -> None:
    assert check(CLEAN) == []


@pytest.mark.parametrize(
    ("promise", "spoil"),
    [
        pytest.param(promise, spoil, id=spoil.__name__)
        for promise, spoilings in SPOILINGS.items()
        for spoil in spoilings
    ],
)
def test_a_broken_promise_is_seen(promise: str, spoil: Callable[[list[Record]], None]) -> None:
    history = copy.deepcopy(CLEAN)
    spoil(history)
    assert promise in {violation.promise for violation in check(history)}


def test_each_promise_is_in_the_docstring_and_can_be_broken() -> None:
    named = re.findall(r"^([a-z_]+) {2,}", checker.__doc__ or "", re.MULTILINE)
    assert named == list(PROMISES)
    assert list(SPOILINGS) == list(PROMISES)


def test_an_act_that_was_under_way_when_its_worker_was_killed_may_be_missing_in_the_audit() -> None:
    history = copy.deepcopy(CLEAN)
    audit = next(record for record in history if record["do"] == "audit")
    answer = next(record for record in history if record["do"] == "answer")
    lost = answer["body"]["ids"][0]
    for record in audit["records"]:
        if record["details"].get("first") == lost:
            record["details"] = {}
    fault = next(record for record in history if record["do"] == "fault")
    fault.update(on="w1", t=answer["t"] + 0.5)
    assert check(history) == []
    fault["t"] = answer["t"] + 5
    assert [violation.promise for violation in check(history)] == ["recorded"]


def test_a_history_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryFile(path) as history:
        history.add("call", call=1, body={"data": "\u2028"})
    (record,) = read_history(path)
    assert record == {"do": "call", "t": record["t"], "call": 1, "body": {"data": "\u2028"}}
    assert path.read_text(encoding="utf-8").count("\n") == 1
    assert json.loads(path.read_text(encoding="utf-8")) == record
