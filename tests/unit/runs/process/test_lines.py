"""Lines out of bytes: the same however the bytes arrive, and bounded whatever they are."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtserver.runs.process.lines import (
    PARTIAL_AFTER_S,
    LineHandOver,
    LineSplitter,
    OutputLine,
)

LIMIT = 16
PIECES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b"\r",
            "äö€😀".encode(),
            b"\xff\xfe",
            b"x" * 40,
            b"\b",
            b"\x1b[2K",
            b"\x1b[31",
            b"m",
            b"\x1b[0m",
            b"\x1b]0;title",
            b"\x07",
            b"\x1b[5G",
            b"\x1b7",
            b"\x1b8",
            b"\x1b[s",
            b"\x1b[u",
            "漢字".encode(),
        ]
    ),
    max_size=12,
)


def may_rewrite(data: bytes) -> bool:
    """Whether there is something in it that a terminal obeys, other than at the end of lines."""
    return bool({*data.replace(b"\r\n", b"")} & {*b"\r\b\x1b"}) or b"\xc2\x9b" in data


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
    assert len(lines) == len(expected)
    for (text, omitted), line in zip(lines, expected, strict=True):
        assert omitted == 0
        if not may_rewrite(line.rstrip(b"\r")):
            assert text == line.removesuffix(b"\r").decode("utf-8", "replace")


@given(PIECES)
@example([b"\xff" * LIMIT])
@example(["€".encode() * LIMIT])
def test_no_line_is_larger_than_the_limit(pieces: list[bytes]) -> None:
    for (text, omitted), (whole, _) in zip(split(pieces), split(pieces, limit=10_000), strict=True):
        assert len(text.encode()) <= LIMIT
        if may_rewrite(b"".join(pieces)):
            continue
        if omitted:
            assert len(text) < len(whole)
            # Cut between characters: what is there is the beginning of what there was.
            assert whole.startswith(text)
        else:
            assert text == whole


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r\b\x1b\x9b"), max_size=40),
        max_size=5,
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
        out.take(b"".join(b"o%d\n" % n for n in range(600)), is_all=True),
        err.take(b"".join(b"e%d\n" % n for n in range(600)), is_all=True),
    )
    assert [line.n for line in seen] == list(range(1, 1201))
    for stream, prefix in (("stdout", "o"), ("stderr", "e")):
        texts = [line.text for line in seen if line.stream == stream]
        assert texts == [f"{prefix}{n}" for n in range(600)]

    assert (lines.handed_on, lines.dropped, lines.full) == (1200, 0, False)
    await out.take(b"x\n" * 400, is_all=True)
    assert (lines.handed_on, lines.dropped, lines.full) == (1500, 100, True)
    await err.take(b"y\n" * 9 + b"z", is_all=True)
    await err.end()
    await out.end()
    assert (lines.handed_on, lines.dropped) == (1500, 110)
    assert len(seen) == 1500


async def _open_lines(*takes: tuple[str, bytes, bool]) -> list[OutputLine]:
    """What is handed on of pieces of two pipes: which one, what, and whether it was all."""
    seen: list[OutputLine] = []

    async def on_lines(lines: list[OutputLine]) -> None:
        seen.extend(lines)

    lines = LineHandOver(on_lines, max_line_bytes=LIMIT, max_lines=100)
    sinks = {"out": lines.sink("stdout"), "err": lines.sink("stderr")}
    now_s = asyncio.get_running_loop().time()
    for times, (name, data, is_all) in enumerate(takes, start=1):
        await sinks[name].take(data, is_all=is_all)
        await lines.show_open(now_s + 2 * times * PARTIAL_AFTER_S)
    return seen


@pytest.mark.gen_test
async def test_a_line_is_shown_before_its_end_where_no_more_of_it_was_there_to_read() -> None:
    seen = await _open_lines(("out", b"a\nb", False), ("out", b"c", True), ("out", b"d\n", True))
    assert seen == [
        OutputLine("stdout", 1, "a"),
        OutputLine("stdout", 2, "bc", partial=True),
        OutputLine("stdout", 2, "bcd", replaces=True),
    ]


@pytest.mark.gen_test
async def test_a_line_that_is_rewritten_without_pause_is_shown_all_the_same() -> None:
    seen = await _open_lines(("out", b"1%\r2%", False), ("out", b"\r3%", False))
    assert [(line.text, line.partial, line.replaces) for line in seen] == [
        ("2%", True, False),
        ("3%", True, True),
    ]


@pytest.mark.gen_test
async def test_a_line_that_has_begun_gets_its_number_before_the_other_pipe_s_next() -> None:
    for is_all, numbers in ((True, [1, 2, 1]), (False, [1, 2])):
        seen: list[OutputLine] = []

        async def on_lines(lines: list[OutputLine], seen: list[OutputLine] = seen) -> None:
            seen.extend(lines)

        lines = LineHandOver(on_lines, max_line_bytes=LIMIT, max_lines=100)
        out, err = lines.sink("stdout"), lines.sink("stderr")
        await out.take(b"compiling ... ", is_all=is_all)
        await err.take(b"a warning\n", is_all=True)
        await out.take(b"done\n", is_all=True)
        assert [line.n for line in seen] == numbers
        assert {line.text for line in seen if not line.partial} == {"compiling ... do", "a warning"}
