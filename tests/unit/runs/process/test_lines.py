"""Lines out of bytes: the same however the bytes arrive, and bounded whatever they are."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtserver.runs.process.lines import LineHandOver, LineSplitter, OutputLine

LIMIT = 16
PIECES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"\n", b"\r\n", b"\r", "äö€😀".encode(), b"\xff\xfe", b"x" * 40]),
    max_size=12,
)


def split(data: list[bytes], limit: int = LIMIT) -> list[tuple[str, int]]:
    splitter = LineSplitter(limit)
    lines = [line for piece in data for line in splitter.feed(piece)]
    return lines + splitter.finish()


@given(PIECES)
@example([b"a\r", b"\n"])
@example(["€".encode()[:1], "€".encode()[1:] + b"\n"])
@example([b"x" * LIMIT + b"\r", b"\n"])
def test_how_the_bytes_arrive_makes_no_difference(pieces: list[bytes]) -> None:
    assert split(pieces) == split([b"".join(pieces)])
    assert split(pieces) == split([bytes([byte]) for byte in b"".join(pieces)])


@given(PIECES)
def test_lines_are_those_between_line_ends(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    lines = split(pieces, limit=10_000)
    assert [text for text, _ in lines] == [
        line.removesuffix(b"\r").decode("utf-8", "replace") for line in expected
    ]
    assert {omitted for _, omitted in lines} <= {0}


@given(PIECES)
@example([b"\xff" * LIMIT])
@example(["€".encode() * LIMIT])
def test_no_line_is_larger_than_the_limit(pieces: list[bytes]) -> None:
    for (text, omitted), (whole, _) in zip(split(pieces), split(pieces, limit=10_000), strict=True):
        assert len(text.encode()) <= LIMIT
        if omitted:
            assert len(text) < len(whole)
            # Cut between characters: what is there is the beginning of what there was.
            assert whole.startswith(text)
        else:
            assert text == whole


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40), max_size=5
    )
)
def test_what_is_omitted_is_counted_to_the_byte(lines: list[str]) -> None:
    data = "".join(f"{line}\r\n" for line in lines).encode()
    for line, (text, omitted) in zip(lines, split([data]), strict=True):
        assert len(text.encode()) + omitted == len(line.encode())


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    assert split([b"x" * LIMIT + b"\r\n"]) == [("x" * LIMIT, 0)]
    assert split([b"x" * LIMIT + b"y\r\n"]) == [("x" * LIMIT, 1)]


def test_a_line_without_end_takes_no_memory() -> None:
    splitter = LineSplitter(LIMIT)
    for _ in range(1000):
        assert splitter.feed(b"x" * 100_000) == []
    assert splitter.finish() == [("x" * LIMIT, 100_000_000 - LIMIT)]


@given(PIECES, PIECES)
def test_skipping_counts_the_lines_that_feeding_gives(
    before: list[bytes], after: list[bytes]
) -> None:
    feeding, skipping = LineSplitter(LIMIT), LineSplitter(LIMIT)
    for piece in before:
        assert feeding.feed(piece) == skipping.feed(piece)
    for piece in after:
        assert len(feeding.feed(piece)) == skipping.skip(piece)
    assert len(feeding.finish()) == len(skipping.finish())


@pytest.mark.gen_test
async def test_both_pipes_are_numbered_in_one_row_and_one_batch_comes_after_another() -> None:
    seen: list[OutputLine] = []
    under_way = 0

    async def on_lines(lines: list[OutputLine]) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        assert 1 <= len(lines) <= 256
        await asyncio.sleep(0)
        seen.extend(lines)
        under_way -= 1

    lines = LineHandOver(on_lines, max_line_bytes=LIMIT, max_lines=1500)
    out, err = lines.sink("stdout"), lines.sink("stderr")
    await asyncio.gather(
        out.take(b"".join(b"o%d\n" % n for n in range(600))),
        err.take(b"".join(b"e%d\n" % n for n in range(600))),
    )
    assert [line.n for line in seen] == list(range(1, 1201))
    for stream, prefix in (("stdout", "o"), ("stderr", "e")):
        texts = [line.text for line in seen if line.stream == stream]
        assert texts == [f"{prefix}{n}" for n in range(600)]

    assert (lines.handed_on, lines.dropped, lines.full) == (1200, 0, False)
    await out.take(b"x\n" * 400)
    assert (lines.handed_on, lines.dropped, lines.full) == (1500, 100, True)
    await err.take(b"y\n" * 9 + b"z")
    await err.end()
    await out.end()
    assert (lines.handed_on, lines.dropped) == (1500, 110)
    assert len(seen) == 1500
