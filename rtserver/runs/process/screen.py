"""A line as a terminal shows it: what carriage returns, backspaces and erasing leave of it.

One line only: what moves the cursor up or down is dropped, as are titles, links and the like.
Colours and styles (ECMA-48 SGR) stay with the characters that were printed in them.
"""

import codecs
import functools
import re
import unicodedata

# A terminal is not wider than this. A cursor that could be put anywhere would let a few bytes of
# output cost as much work as a whole line.
_FURTHEST_COLUMN = 1024
# What is longer than this is no escape sequence.
_MAX_SEQUENCE_CHARS = 256
_MAX_STYLE_CHARS = 256
# Marks that are piled on one character.
_MAX_CELL_CHARS = 16

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b(?P<cursor>[78])"
    r"|\x1b(?![\[\]PX^_])[ -/]*[0-~]"
    r"|(?P<control>[\s\S])"
)
# What may become a sequence when more comes.
_BEGUN = re.compile(
    r"\x1b[ -/]*|(?:\x1b\[|\x9b)[0-?]*[ -/]*"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*\x1b?"
)
_NOT_SIMPLE = re.compile(r"[^\r -~]")
_SGR = re.compile(r"(?:\x1b\[|\x9b)([0-?]*)m")
_RESET = "\x1b[0m"


def style_after(style: str, text: str) -> str:
    """The style in effect after a text, as the sequences that make it from the default."""
    for parameters in _SGR.findall(text):
        style = _styled(style, parameters)
    return style


def _styled(style: str, parameters: str) -> str:
    if not parameters.strip("0;"):
        return ""
    if parameters.startswith(("0;", ";")):
        style = ""
    style += f"\x1b[{parameters}m"
    if len(style) > _MAX_STYLE_CHARS:  # the oldest have been overruled long since
        style = style[style.index("\x1b", len(style) - _MAX_STYLE_CHARS) :]
    return style


class Screen:
    """A line of cells that is written to, and can be read at any time.

    Args:
        style: the style in effect where the line begins; see `style_after`.
        limit: how many columns are kept, and how many bytes of UTF-8 `render` gives.
    """

    def __init__(self, style: str, limit: int) -> None:
        self._start_style = self._style = style
        self._limit = limit
        # One string a column. A wide character is followed by an empty one.
        self._cells: list[str] = []
        self._styles: list[str] = []
        self._column = self._saved_column = 0
        self._omitted_bytes = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._begun = ""

    def feed(self, data: bytes) -> None:
        """Print bytes, which may end in the middle of a character or an escape sequence."""
        text = self._begun + self._decode(data)
        self._begun = ""
        if "\r" in text and _NOT_SIMPLE.search(text) is None:
            self._overwrite(text)
            return
        for token in _TOKEN.finditer(text):
            if printed := token["text"]:
                self._print(printed)
            elif final := token["final"]:
                self._obey(final, token["parameters"])
            elif cursor := token["cursor"]:
                self._obey("s" if cursor == "7" else "u", "")
            elif control := token["control"]:
                rest = len(text) - token.start()
                if rest < _MAX_SEQUENCE_CHARS and _BEGUN.fullmatch(text, token.start()):
                    self._begun = text[token.start() :]
                    return
                self._move(control)

    def render(self) -> tuple[str, int]:
        """The line as text with styles, and how many bytes of it are left out."""
        parts: list[str] = []
        style = self._start_style
        for cell, wanted in zip(self._cells, self._styles, strict=True):
            if wanted != style:
                parts.append(_between(style, wanted))
                style = wanted
            parts.append(cell)
        if self._style != style:
            parts.append(_between(style, self._style))
        encoded = "".join(parts).encode()
        text = encoded[: self._limit].decode("utf-8", "ignore")
        return text, self._omitted_bytes + len(encoded) - len(text.encode())

    # What is printed

    def _print(self, text: str) -> None:
        if text.isascii():
            room = max(0, self._limit - self._column)
            self._put(list(text[:room]))
            self._pass_over(text[room:])
            return
        for char in text:
            width = _width(char)
            if width == 0:
                self._add_mark(char)
            elif self._column + width > self._limit:
                self._pass_over(char, width)
            else:
                self._put([char, ""][:width])

    def _overwrite(self, text: str) -> None:
        """The common progress: what it comes to, in a tenth of the time that printing it takes."""
        first, *rest, last = text.split("\r")
        self._print(first)
        shown = ""
        for part in reversed(rest):
            if len(part) > len(shown):
                shown += part[len(shown) :]
        self._column = 0
        self._print(shown)
        self._column = 0
        self._print(last)

    def _pass_over(self, text: str, width: int | None = None) -> None:
        """What is printed right of the last column is not kept; the cursor moves all the same."""
        self._omitted_bytes += len(text.encode())
        self._column += len(text) if width is None else width

    def _put(self, cells: list[str]) -> None:
        if not cells:
            return
        begin, end = self._column, self._column + len(cells)
        if begin > len(self._cells):
            self._blank(len(self._cells), begin)
        self._split_wide(begin)
        self._split_wide(end)
        self._cells[begin:end] = cells
        self._styles[begin:end] = [self._style] * len(cells)
        self._column = end

    def _add_mark(self, char: str) -> None:
        at = min(self._column, len(self._cells)) - 1
        while at > 0 and not self._cells[at]:
            at -= 1
        if at >= 0 and len(self._cells[at]) < _MAX_CELL_CHARS:
            self._cells[at] += char

    def _split_wide(self, column: int) -> None:
        """Half of a wide character is overwritten: the other half is blank from now on."""
        if 0 < column < len(self._cells) and not self._cells[column]:
            self._cells[column - 1] = self._cells[column] = " "

    def _blank(self, begin: int, end: int) -> None:
        self._cells[begin:end] = [" "] * (end - begin)
        self._styles[begin:end] = [""] * (end - begin)

    # What moves the cursor, erases, or changes the style

    def _move(self, control: str) -> None:
        if control == "\r":
            self._column = 0
        elif control == "\b":
            self._column = max(0, self._column - 1)
        elif control == "\t":
            self._to(self._column + 8 - self._column % 8)

    def _to(self, column: int) -> None:
        furthest = max(self._column, len(self._cells), _FURTHEST_COLUMN - 1)
        self._column = min(column, furthest)

    def _obey(self, final: str, parameters: str) -> None:
        if final == "m":
            self._style = _styled(self._style, parameters)
            return
        if final in "su" and parameters:
            return  # other things of that name
        first = parameters.partition(";")[0]
        number = int(first[:5]) if first.isascii() and first.isdigit() else 0
        match final:
            case "C":
                self._to(self._column + max(1, number))
            case "D":
                self._column = max(0, self._column - max(1, number))
            case "G" | "`":
                self._to(max(1, number) - 1)
            case "K" | "J":
                self._erase(number)
            case "P":
                self._split_wide(self._column)
                end = self._column + max(1, number)
                del self._cells[self._column : end], self._styles[self._column : end]
            case "X":
                count = min(max(1, number), _FURTHEST_COLUMN)
                end = min(self._column + count, len(self._cells))
                self._split_wide(self._column)
                self._split_wide(end)
                self._blank(self._column, max(self._column, end))
            case "@":
                self._insert(max(1, number))
            case "s":
                self._saved_column = self._column
            case "u":
                self._to(self._saved_column)

    def _insert(self, count: int) -> None:
        at = self._column
        room = min(count, max(_FURTHEST_COLUMN, len(self._cells)) - len(self._cells))
        if at < len(self._cells) and room > 0:
            self._split_wide(at)
            self._cells[at:at] = [" "] * room
            self._styles[at:at] = [""] * room

    def _erase(self, what: int) -> None:
        if what == 0:
            self._split_wide(self._column)
            del self._cells[self._column :], self._styles[self._column :]
        elif what == 1:
            self._split_wide(self._column + 1)
            self._blank(0, min(self._column + 1, len(self._cells), _FURTHEST_COLUMN))
        else:
            self._cells.clear()
            self._styles.clear()


def _between(style: str, wanted: str) -> str:
    if wanted.startswith(style):
        return wanted[len(style) :]
    return _RESET + wanted


@functools.lru_cache(maxsize=4096)
def _width(char: str) -> int:
    """How many columns a character takes (Unicode Standard Annex 11)."""
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
