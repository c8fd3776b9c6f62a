"""What a terminal shows of one line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.process.screen import Screen, style_after
from tests.support.cost import check_growth, cpu_s

LIMIT = 16_384


def shown(data: bytes | str, style: str = "", limit: int = LIMIT) -> str:
    screen = Screen(style, limit)
    screen.feed(data.encode() if isinstance(data, str) else data)
    return screen.render()[0]


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("10%\r20%", "20%"),
        ("ab\rX", "Xb"),
        ("done\r", "done"),
        ("Solving environment: /\b-\b\\\b|\b/\bdone", "Solving environment: done"),
        ("Downloading (0%)\b\b\b\b(45%)\b\b\b\b\b(100%)", "Downloading (100%)"),
        ("\b\b\bX", "X"),
        ("Loading...\r\x1b[K", ""),
        ("Loading...\r\x1b[KReady", "Ready"),
        ("\x1b[2K\x1b[GDone", "Done"),
        ("abcdef\x1b[3D\x1b[K", "abc"),
        ("abcdef\x1b[4G\x1b[1K", "    ef"),
        ("abcdef\x1b[2GX\x1b[CY", "aXcYef"),
        ("abc\r\x1b[2P", "c"),
        ("abc\x1b[2JX", "   X"),
        ("a\tb\rX", "X       b"),
        ("Building \x1b[s10%\x1b[u20%", "Building 20%"),
        ("Building \x1b710%\x1b820%", "Building 20%"),
        ("abc\x1b[uX", "Xbc"),
        ("abc\x1b[>1uX\x1b[1;5sY", "abcXY"),
        ("hello\x1b[3D\x1b[2Xz", "hez o"),
        ("hello\x1b[3D\x1b[9XX", "heX  "),
        ("ab\x1b[9CX\r\x1b[99X", " " * 12),
        ("漢字\x1b[2G\x1b[X", "  字"),
        ("world\r\x1b[6@hello", "hello world"),
        ("漢\x1b[2G\x1b[@X", " X "),
        ("ab\x1b[5@X", "abX"),
        ("\x1b[1;31mred\x1b[0m plain", "\x1b[1;31mred\x1b[0m plain"),
        ("\x1b[32m10%\r\x1b[33m20%", "\x1b[32m\x1b[33m20%"),
        ("\u009b31mred\u009b0m\rX", "X\x1b[31med\x1b[0m"),
        ("\x1b]8;;https://example.org\x07link\x1b]8;;\x1b\\ after\rL", "Link after"),
        ("\x1bPq#0\x1b\\a\x1b(Bb\x07\0c\rX", "Xbc"),
        ("漢字\rX", "X 字"),
        ("漢字\x1b[2GX", " X字"),
        ("e\u0301a\rX", "Xa"),
        ("ab\r\u0301", "ab"),
        ("12\x1b[99999999G3", "12" + " " * 1021 + "3"),
    ],
)
def test_what_is_left_of_what_was_printed(printed: str, expected: str) -> None:
    assert shown(printed) == expected
    screen = Screen("", LIMIT)
    for byte in printed.encode():
        screen.feed(bytes([byte]))
    assert screen.render()[0] == expected


def test_a_sequence_that_never_ends_hides_little() -> None:
    assert shown("a\x1b]0;title " + "x" * 300) == "a]0;title " + "x" * 300
    assert shown("a\x1b[31é after") == "a[31é after"


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Mn", "Me", "Cf"]), max_size=20
)


@given(st.lists(TEXTS, max_size=5))
def test_each_return_writes_over_what_is_there(texts: list[str]) -> None:
    columns: list[str] = []
    for text in texts:
        written: list[str] = []
        for char in text:
            is_wide = unicodedata.east_asian_width(char) in "WF"
            written += [char, ""] if is_wide else [char]
        end = len(written)
        if 0 < end < len(columns) and columns[end] == "":
            columns[end] = " "
        columns[:end] = written
    assert shown("\r".join(texts)) == "".join(columns)


STYLED = st.lists(
    st.sampled_from(
        ["a", "b", "\x1b[31m", "\x1b[1m", "\x1b[0m", "\x1b[m", "\x1b[0;4m", "\r", "\x1b[K"]
    ),
    max_size=12,
)  # fmt: skip


def _cells(text: str, style: str) -> list[tuple[str, str]]:
    """Each character with the style that it has, for a reader that knows no more than SGR."""
    cells, at = [], 0
    while at < len(text):
        if text[at] == "\x1b":
            end = text.index("m", at) + 1
            style, at = style_after(style, text[at:end]), end
        else:
            cells.append((text[at], style))
            at += 1
    return [*cells, ("", style)]


@given(STYLED, st.sampled_from(["", "\x1b[35m"]))
def test_every_character_keeps_its_style_and_so_does_what_follows(
    parts: list[str], style: str
) -> None:
    cells: list[tuple[str, str]] = []
    column, now = 0, style
    for part in parts:
        if part == "\r":
            column = 0
        elif part == "\x1b[K":
            del cells[column:]
        elif part.startswith("\x1b"):
            now = style_after(now, part)
        else:
            cells[column : column + 1] = [(part, now)]
            column += 1
    assert _cells(shown("".join(parts), style), style) == [*cells, ("", now)]


@pytest.mark.parametrize(
    "repeated",
    [
        "\x1b[1024GX\x1b[2K",
        "\x1b[1024GX\x1b[1K",
        "x\x1b[G\x1b[1024@",
        "\x1b[1024GX\x1b[G\x1b[1024X",
        "\x1b7\x1b8",
        "x\r",
        "\b",
        "漢\r",
        "e\u0301\r",
        "\x1b[31m",
        "\x1b",
    ],
)
def test_nothing_costs_more_than_its_length_decides(repeated: str) -> None:
    def show(size: int) -> None:
        screen = Screen("", LIMIT)
        screen.feed((repeated * (1 + size // len(repeated))).encode())
        screen.render()

    check_growth(show, 6_000, 40)
    assert cpu_s(lambda: show(6_000)) < 0.1
