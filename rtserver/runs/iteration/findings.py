"""What a validation found, as lines for a language model to act on."""

from collections.abc import Mapping
from typing import Any

MAX_FINDINGS = 100
MAX_LINE_CHARS = 500


def findings_of(outcome: Mapping[str, Any]) -> list[str]:
    """The findings of a validation, one a line; empty where it found nothing or says nothing.

    Args:
        outcome: of a run that ended: `status`, and the validator's JSON under `summary.report` or
            `report`. A report of another form than OpenSpec's is passed over.
    """
    summary = outcome.get("summary", outcome)
    report = summary.get("report") if isinstance(summary, Mapping) else None
    items = report.get("items") if isinstance(report, Mapping) else None
    lines = [
        line
        for item in (items if isinstance(items, list) else [])
        for issue in _issues(item)
        if (line := _line(issue))
    ]
    if len(lines) <= MAX_FINDINGS:
        return lines
    return [*lines[:MAX_FINDINGS], f"({len(lines) - MAX_FINDINGS} more findings are left out)"]


def _issues(item: object) -> list[Mapping[str, Any]]:
    issues = item.get("issues") if isinstance(item, Mapping) else None
    return (
        [found for found in issues if isinstance(found, Mapping)]
        if isinstance(issues, list)
        else []
    )


def _line(issue: Mapping[str, Any]) -> str:
    words = (issue.get("level"), issue.get("path"), issue.get("message"))
    text = ": ".join(" ".join(str(word).split()) for word in words if word)
    return text if len(text) <= MAX_LINE_CHARS else text[:MAX_LINE_CHARS] + "..."
