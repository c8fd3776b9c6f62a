"""Finds the place that a comment is about again, in a text that has changed since."""

import bisect
from collections import defaultdict
from functools import cached_property
from itertools import accumulate

from rtserver.reviews.comments import Anchor

MAX_OCCURRENCES = 1_000
MAX_HEADING_DEPTH = 6


class SearchedText:
    """A text in which the places of anchors are looked for.

    What a look takes is made once, since a text may have a thousand anchors, and only where one is
    looked for.
    """

    def __init__(self, text: str) -> None:
        """Make it of the file's text now."""
        self._text = _plain(text)
        self.lines = self._text.count("\n") + 1
        self._found: dict[tuple[str, str], list[int]] = {}

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line begins."""
        return [0, *accumulate(len(line) + 1 for line in self._text.split("\n"))]

    @cached_property
    def _sections(self) -> dict[str, list[range]]:
        return _sections(self._text.split("\n"))

    def line_of(self, anchor: Anchor, *, unchanged: bool) -> int | None:
        """The line, from 1, at which the place of an anchor is; None where it is not there.

        A quote is looked for under its heading first, and of several places the one is taken that
        is nearest to where it was. Without a quote the heading is looked for; a bare line is one
        only as long as the file is the same. An anchor that names the file alone is at its top.

        Args:
            anchor: what is looked for.
            unchanged: the file is as it was in the anchor's revision.
        """
        if unchanged and anchor.line is not None and anchor.line <= self.lines:
            return anchor.line
        quote, heading = _plain(anchor.quote or "").strip(), _heading_name(anchor.heading or "")
        if not quote and anchor.heading is None and anchor.line is None:
            return 1
        if (quote, heading) not in self._found:
            self._found[quote, heading] = self._lines_of(quote, heading)
        return _nearest(self._found[quote, heading], anchor.line)

    def _lines_of(self, quote: str, heading: str) -> list[int]:
        """The lines at which a quote may be that was under a heading; without one the heading's."""
        sections = self._sections.get(heading, []) if heading else []
        if not quote:
            return [section.start for section in sections]
        found: list[int] = []
        at = self._text.find(quote)
        while at >= 0 and len(found) < MAX_OCCURRENCES:
            found.append(bisect.bisect_right(self._starts, at))
            at = self._text.find(quote, at + 1)
        return _within(found, sections) or found


def _plain(text: str) -> str:
    """With line ends as browsers quote them."""
    return text.replace("\r\n", "\n")


def _sections(lines: list[str]) -> dict[str, list[range]]:
    """By heading its sections: their lines from it on, numbered from 1."""
    sections: dict[str, list[range]] = defaultdict(list)
    open_ones: list[tuple[int, int]] = []
    """Depth and number of each heading whose section goes on."""

    def close(depth: int, end: int) -> None:
        while open_ones and open_ones[-1][0] >= depth:
            _, start = open_ones.pop()
            sections[_heading_name(lines[start - 1])].append(range(start, end))

    for number, line in enumerate(lines, start=1):
        depth = _depth(line)
        if depth:
            close(depth, number)
            open_ones.append((depth, number))
    close(0, len(lines) + 1)
    return {
        name: sorted(found, key=lambda section: section.start)[:MAX_OCCURRENCES]
        for name, found in sections.items()
    }


def _heading_name(line: str) -> str:
    return " ".join(line.strip("# \t").split())


def _depth(line: str) -> int:
    """How many number signs a heading has (CommonMark section 4.2); 0: it is no heading."""
    signs = len(line) - len(line.lstrip("#"))
    return signs if signs <= MAX_HEADING_DEPTH and line[signs : signs + 1] in (" ", "\t") else 0


def _within(found: list[int], sections: list[range]) -> list[int]:
    """Those lines that are in one of the sections, which begin in their order."""
    starts = [section.start for section in sections]
    # A section may be within another one of the same heading, so the farthest end counts.
    ends = list(accumulate((section.stop for section in sections), max))
    within = []
    for line in found:
        before = bisect.bisect_right(starts, line)
        if before and line < ends[before - 1]:
            within.append(line)
    return within


def _nearest(found: list[int], line: int | None) -> int | None:
    if not found:
        return None
    return found[0] if line is None else min(found, key=lambda each: abs(each - line))
