import time

import pytest

from rtserver.reviews.comments import Anchor
from rtserver.revisions.anchors import SearchedText

TEXT = """# Why

We lend.

## What Changes

- Renew once
- Pay less

## Impact

- Renew once
"""


def _line(text: str = TEXT, *, unchanged: bool = False, **given: object) -> int | None:
    anchor = Anchor(1, "proposal.md", **given)  # type: ignore[arg-type]
    return SearchedText(text).line_of(anchor, unchanged=unchanged)


def test_a_quote_is_found_under_its_heading() -> None:
    assert _line(quote="Renew once", heading="What Changes") == 7
    assert _line(quote="Renew once", heading="## Impact") == 12
    assert _line(quote="Renew once", heading="Gone", line=11) == 12
    assert _line(quote="Renew once", line=2) == 7
    assert _line(quote="Renew once\n- Pay less") == 7
    assert _line(quote="Renew twice", heading="Impact") is None


def test_a_heading_alone_and_a_line_alone() -> None:
    assert _line(heading="Impact") == 10
    assert _line(heading="Gone") is None
    assert _line(line=3) is None
    assert _line(line=3, unchanged=True) == 3
    assert _line(line=300, unchanged=True) is None
    # Where the file is the same, it is where it was.
    assert _line(quote="Renew once", line=12, unchanged=True) == 12


def test_a_file_alone_is_at_its_top() -> None:
    assert _line() == 1


def test_a_quote_of_a_text_with_other_line_ends() -> None:
    assert _line(TEXT.replace("\n", "\r\n"), quote="Renew once\n- Pay less") == 7
    assert _line(TEXT.replace("\n", "\r\n"), quote="Renew once", heading="Impact") == 12


def test_a_heading_within_one_of_the_same_name() -> None:
    text = "# A\n## A\nhere\n## B\nthere\n# C\nthere\n"
    assert _line(text, heading="A", quote="there", line=7) == 5
    assert _line(text, heading="C", quote="there") == 7


def test_it_moves_with_what_is_put_before_it() -> None:
    assert _line("one\ntwo\n" + TEXT, quote="Pay less", heading="What Changes", line=8) == 10


@pytest.mark.parametrize("piece", ["a", "# a\n", "#", "\n", "ab\n"])
def test_the_cost_follows_the_length(piece: str) -> None:
    def seconds(count: int) -> float:
        text = piece * count
        began_s = time.process_time()
        _line(text, quote="a", heading="a", line=1)
        _line(text, quote="a" * 100 + "b")
        return time.process_time() - began_s

    short = 30_000 // len(piece)
    assert seconds(short * 10) < 60 * max(min(seconds(short) for _ in range(3)), 0.001)
