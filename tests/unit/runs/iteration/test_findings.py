"""The findings of a validation as a model is told them."""

from typing import Any

import pytest

from rtserver.runs.iteration.findings import MAX_FINDINGS, MAX_LINE_CHARS, findings_of


def _finding(**fields: Any) -> dict[str, Any]:
    return {"file": "specs/a/spec.md", "line": 3, "level": "error", "message": "bad", **fields}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "ERROR: specs/a/spec.md:3: bad"),
        ({"line": None}, "ERROR: specs/a/spec.md: bad"),
        ({"file": None, "line": None}, "ERROR: bad"),
    ],
)
def test_a_finding_is_a_line_with_its_place(fields: dict[str, Any], line: str) -> None:
    assert findings_of({"summary": {"findings": [_finding(**fields)]}}) == [line]
    assert findings_of({"status": "failed", "findings": [_finding(**fields)]}) == [line]


def test_they_are_bounded_and_those_left_out_are_counted() -> None:
    many = [_finding(message="x" * 1_000)] * (MAX_FINDINGS + 3)
    lines = findings_of({"findings": many, "findings_left_out": 4})
    assert len(lines) == MAX_FINDINGS + 1
    assert len(lines[0]) == MAX_LINE_CHARS + 3
    assert lines[-1] == "(7 more findings are left out)"


@pytest.mark.parametrize("outcome", [{}, {"summary": None}, {"summary": {"report": {}}}])
def test_where_there_are_none_nothing_is_said(outcome: dict[str, Any]) -> None:
    assert findings_of(outcome) == []
