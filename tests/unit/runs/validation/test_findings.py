"""Findings get the file and the line that they are about."""

from typing import Any

import pytest

from rtserver.runs.validation.findings import MAX_FINDINGS, findings_in

SPEC = """\
## ADDED Requirements

### Requirement: Pay
x

### Requirement: Pay
y

```
### Requirement: Shown
```

## MODIFIED Requirements

### Requirement: Late "fee"

#### Scenario: A year later

### Requirement: Pay
"""
TEXTS = {"specs/fees/spec.md": SPEC, "tasks.md": "- [ ] 1\n"}


def found(*issues: Any, max_bytes: int = 100_000) -> tuple[list[Any], int]:
    findings, left_out = findings_in({"items": [{"issues": list(issues)}]}, TEXTS, max_bytes)
    return list(findings), left_out


def place(path: object, message: str, **more: Any) -> tuple[str | None, int | None]:
    [finding], _ = found({"level": "ERROR", "path": path, "message": message, **more})
    return finding["file"], finding["line"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ('ADDED "Pay" must include at least one scenario', 3),
        ('Duplicate requirement in ADDED: "Pay"', 6),
        ('MODIFIED "Pay" omits scenario(s): "A year later"', 19),
        ('MODIFIED "Late "fee"" omits something', 15),
        ('"A year later" has no steps', 17),
        ('REMOVED "Pay" is not there', 3),
        ('ADDED "Shown" is in a code block', None),
        ("it is bad", None),
    ],
)
def test_the_line_is_that_of_the_heading_which_is_named(message: str, line: int | None) -> None:
    assert place("fees/spec.md", message) == ("specs/fees/spec.md", line)


def test_what_the_report_says_itself_holds() -> None:
    assert place("tasks.md", '"Pay"', line=1) == ("tasks.md", 1)
    assert place("specs/fees/spec.md", 'ADDED "Pay"', line=0) == ("specs/fees/spec.md", 3)
    for path in ("deltas.0", "other.md", None, 7):
        assert place(path, 'ADDED "Pay"', line=3) == (None, None)


def test_findings_are_bounded_and_those_left_out_counted() -> None:
    issue = {"level": "INFO", "path": "tasks.md", "message": "a\n b " + "x" * 2_000}
    findings, left_out = found(*[issue] * 3, max_bytes=2_500)
    assert (len(findings), left_out) == (2, 1)
    assert findings[0]["message"].startswith("a b x")
    assert len(findings[0]["message"]) < 1_010
    findings, left_out = found(*[{"message": "x"}] * (MAX_FINDINGS + 2))
    assert (len(findings), left_out) == (MAX_FINDINGS, 2)


@pytest.mark.parametrize("report", [None, [], {"items": 1}, {"items": [1, {"issues": [None]}]}])
def test_a_report_of_another_form_has_no_findings(report: Any) -> None:
    assert findings_in(report, TEXTS, 1_000) == ([], 0)
