"""Finds the place that a comment is about again, in a text that has changed since."""

import bisect

from rtserver.reviews.comments import Anchor

MAX_OCCURRENCES = 1_000
MAX_HEADING_DEPTH = 6


def line_of(anchor: Anchor, text: str, *, unchanged: bool) -> int | None:
    """The line, from 1, at which the place of an anchor is in a text; None where it is not there.

    A quote is looked for under its heading first, and of several places the one is taken that is
    nearest to where it was. Without a quote the heading is looked for; a bare line is one only as
    long as the file is the same.

    Args:
        anchor: what is looked for.
        text: the file's text now.
        unchanged: the file is as it was in the anchor's revision.
    """
    lines = text.split("\n")
    if unchanged and anchor.line is not None and anchor.line <= len(lines):
        return anchor.line
    headings = _headings(lines, anchor.heading)
    found = _quoted(anchor.quote, text, lines)
    if found:
        within = [line for line in found if any(line in section for section in headings)]
        return _nearest(within or found, anchor.line)
    if anchor.quote:
        return None
    return _nearest([section.start for section in headings], anchor.line)


def _headings(lines: list[str], wanted: str | None) -> list[range]:
    """The sections of a heading: their lines from it on, numbered from 1."""
    if not wanted:
        return []
    depths = [_depth(line) for line in lines]
    plain = " ".join(wanted.strip("# \t").split())
    sections = []
    for at, depth in enumerate(depths):
        if depth and " ".join(lines[at].strip("# \t\r").split()) == plain:
            end = next(
                (later for later in range(at + 1, len(lines)) if 0 < depths[later] <= depth),
                len(lines),
            )
            sections.append(range(at + 1, end + 1))
            if len(sections) == MAX_OCCURRENCES:
                break
    return sections


def _depth(line: str) -> int:
    """How many number signs a heading has (CommonMark section 4.2); 0: it is no heading."""
    signs = len(line) - len(line.lstrip("#"))
    return signs if signs <= MAX_HEADING_DEPTH and line[signs : signs + 1] in (" ", "\t") else 0


def _quoted(quote: str | None, text: str, lines: list[str]) -> list[int]:
    """The lines at which a quote begins."""
    words = (quote or "").strip()
    if not words:
        return []
    starts, offset = [], 0
    for line in lines:
        starts.append(offset)
        offset += len(line) + 1
    found: list[int] = []
    at = text.find(words)
    while at >= 0 and len(found) < MAX_OCCURRENCES:
        found.append(bisect.bisect_right(starts, at))
        at = text.find(words, at + 1)
    return found


def _nearest(found: list[int], line: int | None) -> int | None:
    if not found:
        return None
    return found[0] if line is None else min(found, key=lambda each: abs(each - line))
