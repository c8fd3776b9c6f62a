"""What changed in files, as unified diffs of a bounded size, found in a bounded time."""

from collections.abc import Iterator, Mapping
from itertools import takewhile

import msgspec
from rapidfuzz.distance import LCSseq

MAX_DIFF_BYTES = 256 * 1024
# Lines before times lines after, of what differs, over all files: some 0.3 s of work and, in one
# file, 12 MB. The algorithm compares 64 of them at a time, whatever is in the lines.
MAX_COMPARED = 400_000_000
MAX_COMPARED_IN_FILE = 100_000_000
_CONTEXT_LINES = 3

_Change = tuple[int, int, int, int]  # from and to in the lines before, from and to in those after


def diffs_of(
    texts: Mapping[str, tuple[str, str]], max_bytes: int = MAX_DIFF_BYTES
) -> list[dict[str, object]]:
    """Diffs in the order of the paths.

    Where texts are too long to be compared line by line, all between the lines that they have in
    common at their beginning and their end is shown as replaced.

    Args:
        texts: by path, the text before and after.
        max_bytes: of all diffs together, as JSON.

    Returns:
        For each path `path` and `diff`; `diff` is empty where no line differs, as where a file is
        added that has nothing in it. Where it would go beyond the bound, it is empty and
        `truncated` is set.
    """
    left = max_bytes
    budget = MAX_COMPARED
    diffs: list[dict[str, object]] = []
    for path, (before, after) in sorted(texts.items()):
        old, new = before.split("\n"), after.split("\n")
        changes, cost = _changes(old, new, min(budget, MAX_COMPARED_IN_FILE))
        budget -= cost
        diff = "".join(_unified(path, old, new, changes))
        size = len(msgspec.json.encode(diff))
        if size > left:
            diffs.append({"path": path, "diff": "", "truncated": True})
            continue
        left -= size
        diffs.append({"path": path, "diff": diff})
    return diffs


def _changes(old: list[str], new: list[str], budget: int) -> tuple[list[_Change], int]:
    """What differs, in order, and what it cost to find."""
    head = sum(1 for _ in takewhile(_same, zip(old, new, strict=False)))
    rest = min(len(old), len(new)) - head
    tail = sum(1 for _ in takewhile(_same, zip(old[: -rest - 1 : -1], new[::-1], strict=False)))
    old_end, new_end = len(old) - tail, len(new) - tail
    if head == old_end and head == new_end:
        return [], 0
    cost = (old_end - head) * (new_end - head)
    if cost > budget:
        return [(head, old_end, head, new_end)], 0
    # By number, so that lines are the same where they are equal, and not where their hashes are.
    numbers: dict[str, int] = {}
    first = [numbers.setdefault(line, len(numbers)) for line in old[head:old_end]]
    second = [numbers.setdefault(line, len(numbers)) for line in new[head:new_end]]
    changes: list[_Change] = []
    at = (head, head)
    for block in LCSseq.opcodes(first, second).as_matching_blocks():
        begin = (head + block.a, head + block.b)
        if begin != at:
            changes.append((at[0], begin[0], at[1], begin[1]))
        at = (begin[0] + block.size, begin[1] + block.size)
    return changes, cost


def _same(lines: tuple[str, str]) -> bool:
    return lines[0] == lines[1]


def _unified(path: str, old: list[str], new: list[str], changes: list[_Change]) -> Iterator[str]:
    """The lines of a unified diff, as diff(1) prints it; none where nothing differs."""
    if changes:
        yield f"--- a/{path}\n+++ b/{path}\n"
    for hunk in _hunks(changes):
        begin = min(_CONTEXT_LINES, hunk[0][0])  # as many of both: before it nothing differs
        end = min(_CONTEXT_LINES, len(old) - hunk[-1][1])
        old_at = hunk[0][0] - begin
        old_range = _range(old_at, hunk[-1][1] + end)
        new_range = _range(hunk[0][2] - begin, hunk[-1][3] + end)
        yield f"@@ -{old_range} +{new_range} @@\n"
        for old_from, old_to, new_from, new_to in hunk:
            yield from (f" {line}\n" for line in old[old_at:old_from])
            yield from (f"-{line}\n" for line in old[old_from:old_to])
            yield from (f"+{line}\n" for line in new[new_from:new_to])
            old_at = old_to
        yield from (f" {line}\n" for line in old[old_at : old_at + end])


def _hunks(changes: list[_Change]) -> Iterator[list[_Change]]:
    """Changes whose context touches, together."""
    hunk: list[_Change] = []
    for change in changes:
        if hunk and change[0] - hunk[-1][1] > 2 * _CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _range(begin: int, end: int) -> str:
    """Lines as POSIX has them in a hunk's header: an empty range begins at the line before it."""
    length = end - begin
    if length == 1:
        return str(begin + 1)
    return f"{begin + (length > 0)},{length}"
