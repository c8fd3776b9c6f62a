"""What changed in files, as unified diffs of a bounded size."""

import difflib
from collections.abc import Mapping

import msgspec

MAX_DIFF_BYTES = 256 * 1024
MAX_LINES = 5_000


def diffs_of(
    texts: Mapping[str, tuple[str, str]], max_bytes: int = MAX_DIFF_BYTES
) -> list[dict[str, object]]:
    """Diffs in the order of the paths.

    Args:
        texts: by path, the text before and after.
        max_bytes: of all diffs together, as JSON.

    Returns:
        For each path `path` and `diff`; `diff` is empty and `truncated` is set where a diff would
        go beyond the bound, or take long to find.
    """
    left = max_bytes
    diffs: list[dict[str, object]] = []
    for path, (before, after) in sorted(texts.items()):
        diff = _diff(path, before, after)
        size = len(msgspec.json.encode(diff))
        if not diff or size > left:
            diffs.append({"path": path, "diff": "", "truncated": True})
            continue
        left -= size
        diffs.append({"path": path, "diff": diff})
    return diffs


def _diff(path: str, before: str, after: str) -> str:
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > MAX_LINES:
        return ""
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm="")
    return "".join(f"{line}\n" for line in lines)
