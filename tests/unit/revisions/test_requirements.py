import time

import pytest

from rtserver.revisions.requirements import (
    Delta,
    deltas_of,
    requirements_of,
    tasks_of,
    touches_of,
)

SPEC = """# Loans
## Requirements
### Requirement: One
text
#### Scenario: S
- **WHEN** x
```
### Requirement: In a code block
```
### Requirement:  Two
more
## Notes
### Not a requirement
"""
DELTA = """## ADDED Requirements
### Requirement: A
a
## modified requirements
### Requirement: B
b
## REMOVED Requirements
### Requirement: C
**Reason**: gone
## RENAMED Requirements
- FROM: `### Requirement: D`
- TO: `### Requirement: E`
FROM: F
TO: G
- TO: `### Requirement: nothing before it`
## Else
### Requirement: none of it
"""


def test_requirements_of_a_spec() -> None:
    found = requirements_of(SPEC)
    assert list(found) == ["One", "Two"]
    assert found["One"].startswith("### Requirement: One\ntext\n#### Scenario: S")
    assert "In a code block" in found["One"]
    assert found["Two"] == "### Requirement:  Two\nmore"


def test_deltas_in_their_order() -> None:
    assert [(delta.operation, delta.name) for delta in deltas_of(DELTA)] == [
        ("added", "A"),
        ("modified", "B"),
        ("removed", "C"),
        ("renamed", "E"),
        ("renamed", "G"),
    ]
    assert deltas_of(DELTA)[3] == Delta("renamed", "E", "", "D")


def test_tasks() -> None:
    text = "- [x] 1\n  * [X] 2\n- [ ] 3\n- [] no\n```\n- [x] code\n```\ntext [x]\n"
    assert tasks_of(text) == {"completed": 2, "total": 3}
    assert tasks_of("") == {"completed": 0, "total": 0}


@pytest.mark.parametrize(
    "piece",
    ["### Requirement: a\n", "- FROM: `" + " " * 1000 + "\n", "`" * 1000 + "\n", "- [x] \n", " "],
)
def test_the_cost_follows_the_length(piece: str) -> None:
    def seconds(count: int) -> float:
        text = "## RENAMED Requirements\n" + piece * count
        return min(_timed(text) for _ in range(3))

    def _timed(text: str) -> float:
        began_s = time.process_time()
        deltas_of(text)
        requirements_of(text)
        tasks_of(text)
        return time.process_time() - began_s

    short = 20_000 // len(piece) + 1
    assert seconds(short * 10) < 40 * max(seconds(short), 0.001)


def test_a_change_touches_what_its_deltas_name_and_of_what_it_renames_both_names() -> None:
    touches = touches_of(
        {
            "specs/loans/spec.md": DELTA.encode(),
            "specs/fees/spec.md": b"## ADDED Requirements\n### Requirement: A\n",
            "specs/fees/notes.md": DELTA.encode(),
            "proposal.md": DELTA.encode(),
        }
    )
    assert [(touch.capability, touch.requirement) for touch in touches if touch.is_new] == [
        ("fees", "A"),
        ("loans", "A"),
        ("loans", "E"),
        ("loans", "G"),
    ]
    assert [(touch.requirement, touch.operation) for touch in touches if not touch.is_new] == [
        ("B", "modified"),
        ("C", "removed"),
        ("D", "renamed"),
        ("F", "renamed"),
    ]
