"""What a validation found, as lines for a language model to act on."""

from collections.abc import Mapping
from typing import Any

MAX_FINDINGS = 100
MAX_LINE_CHARS = 500


def findings_of(outcome: Mapping[str, Any]) -> list[str]:
    """The findings of a validation, one a line; empty where it found nothing or says nothing.

    Args:
        outcome: of a run that ended: `status`, and `findings` under `summary` or beside it.
    """
    summary = outcome.get("summary", outcome)
    findings = summary.get("findings", ()) if isinstance(summary, Mapping) else ()
    lines = [_line(finding) for finding in findings]
    left_out = max(0, len(lines) - MAX_FINDINGS)
    if isinstance(summary, Mapping):
        left_out += summary.get("findings_left_out", 0)
    if not left_out:
        return lines
    return [*lines[:MAX_FINDINGS], f"({left_out} more findings are left out)"]


def _line(finding: Mapping[str, Any]) -> str:
    place = ":".join(str(part) for part in (finding["file"], finding["line"]) if part)
    words = (finding["level"].upper(), place, finding["message"])
    text = ": ".join(word for word in words if word)
    return text if len(text) <= MAX_LINE_CHARS else text[:MAX_LINE_CHARS] + "..."
