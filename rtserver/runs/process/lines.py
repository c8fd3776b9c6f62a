"""Output of a command as lines: cut to bounded length, numbered, and delivered in order."""

import asyncio
import codecs
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from rtserver.runs.process.screen import Screen, style_after

StreamName = Literal["stdout", "stderr"]

# A burst of short lines is delivered in pieces, each awaited, so that it arrives at the log and at
# its readers at the pace at which they take it.
_BATCH_LINES = 256

# A line that has not ended is shown as it stands this long after it began or was shown last.
PARTIAL_AFTER_S = 0.5

# What rewrites a line. CR at its end is part of the line's end, or of one that is yet to come.
_REWRITES = re.compile(rb"\r(?!\r*\Z)|\x08|(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@CDGJKPXu`]|\x1b8")
# One of these is in it. To look for each by itself takes a hundredth of the time.
_SIGNS = (b"\r", b"\x08", b"\x1b", b"\xc2\x9b")
# What is rewritten is looked at character by character: others get their turn in between.
_SLICE_BYTES = 8 * 1024
# So many bytes before what comes may be the beginning of such a sequence.
_BEGUN_BYTES = 32


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line that a command printed.

    Attributes:
        stream: where it was printed.
        n: its number within the run, from 1, over both streams.
        text: the line without its end, as a terminal would show it; what was not UTF-8 is U+FFFD.
        truncated: `text` is only the beginning of the line.
        omitted_bytes: how much of the line is left out of `text`.
        partial: the line has not ended; it comes again under its number.
        replaces: a line came under this number before; this one takes its place.
    """

    stream: StreamName
    n: int
    text: str
    truncated: bool = False
    omitted_bytes: int = 0
    partial: bool = False
    replaces: bool = False


def _rewrites(line: bytes | bytearray) -> re.Match[bytes] | None:
    """The first that rewrites a line, where something does."""
    if not any(sign in line for sign in _SIGNS):
        return None
    return _REWRITES.search(line)


def _may_rewrite(data: bytes) -> bool:
    """Whether something in a piece with several lines may rewrite one of them."""
    if any(sign in data for sign in _SIGNS[1:]):
        return True
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


class LineSplitter:
    """Cuts a stream of bytes into lines of bounded length. Does no I/O.

    Lines end with LF or CR LF. A line is given out when it has ended, so a character that is
    spread over two reads stays whole. One that is rewritten, by carriage returns for instance, is
    what a terminal would show of it, so that of a long progress the end is kept.

    Args:
        max_line_bytes: how much of one line is kept.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._limit = max_line_bytes
        self._kept = bytearray()
        self._omitted = 0
        self._begun = b""
        self._ends_with_cr = False
        self._open = False
        self._screen: Screen | None = None
        # What a terminal would print the line in; see `style_after`.
        self._style = ""

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """The lines that `data` completes: text, and number of bytes that it leaves out."""
        *ended, rest = data.split(b"\n")
        is_plain = not _may_rewrite(data)
        lines = []
        for piece in ended:
            if is_plain and not self._open and len(piece) <= self._limit:
                # The common case: 64 KiB of empty lines would else hold up the loop for 70 ms.
                text = piece.removesuffix(b"\r").decode("utf-8", "replace")
                if "\ufffd" not in text:
                    lines.append((text, 0))
                    continue
            self._add(piece)
            lines.append(self._take())
        if rest:
            self._add(rest)
        return lines

    def skip(self, data: bytes) -> int:
        """Like `feed`, but only says how many lines `data` completes."""
        end = data.rfind(b"\n")
        if end >= 0:
            self._take()
        self._open = self._open or end + 1 < len(data)
        return data.count(b"\n")

    def finish(self) -> list[tuple[str, int]]:
        """The last line, where the stream did not end with a line's end."""
        return [self._take()] if self._open else []

    @property
    def is_open(self) -> bool:
        """Whether something of a line came that has not ended."""
        return self._open

    @property
    def is_rewritten(self) -> bool:
        """Whether the line that has not ended was rewritten already."""
        return self._screen is not None or _rewrites(self._kept) is not None

    def current(self) -> tuple[str, int]:
        """The line that has not ended, as far as it came."""
        return self._text(is_whole=False)

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._open = True
        if self._screen is not None:
            self._screen.feed(piece)
        elif len(self._kept) + len(piece) <= self._limit and not self._omitted:
            self._kept += piece
            self._ends_with_cr = piece.endswith(b"\r")
        else:
            self._add_beyond(piece)

    def _add_beyond(self, piece: bytes) -> None:
        """More than is kept: only what rewrites the line can still change it."""
        seen = self._begun if self._omitted else bytes(self._kept)
        recent = seen + piece
        rewrites = _rewrites(recent)
        kept = bytes(self._kept) if self._omitted else recent[: self._limit]
        if rewrites is not None:
            begins_at = len(self._kept) + self._omitted - len(seen) + rewrites.start()
            self._screen = Screen(self._style, self._limit)
            self._screen.feed(kept[:begins_at])
            self._screen.feed(recent[rewrites.start() :])
            return
        self._omitted += len(self._kept) + len(piece) - len(kept)
        self._kept = bytearray(kept)
        self._begun = recent[-_BEGUN_BYTES:]
        self._ends_with_cr = piece.endswith(b"\r")

    def _take(self) -> tuple[str, int]:
        taken = self._text(is_whole=True)
        if "\x1b" in taken[0] or "\x9b" in taken[0]:
            self._style = style_after(self._style, taken[0])
        self._kept, self._omitted, self._begun = bytearray(), 0, b""
        self._ends_with_cr, self._open, self._screen = False, False, None
        return taken

    def _text(self, *, is_whole: bool) -> tuple[str, int]:
        if self._screen is not None:
            return self._screen.render()
        kept, omitted = bytes(self._kept), self._omitted
        if not omitted and _rewrites(kept):
            screen = Screen(self._style, self._limit)
            screen.feed(kept)
            return screen.render()
        if self._ends_with_cr:
            if omitted:
                omitted -= 1
            else:
                kept = kept[:-1]
        if not omitted and is_whole:
            text = kept.decode("utf-8", "replace")
        else:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text = decoder.decode(kept)
            if omitted:
                omitted += len(decoder.getstate()[0])  # a character that the cut went through
        if "\ufffd" in text:  # three bytes, which may stand for one
            encoded = text.encode()
            text = encoded[: self._limit].decode("utf-8", "ignore")
            omitted += len(encoded) - len(text.encode())
        return text, omitted


class LineHandOver:
    """Numbers the lines of both pipes and hands them on, one batch at a time.

    Args:
        on_lines: takes a batch of 1 to 256 lines; awaited before the next one.
        max_line_bytes: longer lines are cut.
        max_lines: later lines are only counted.

    Attributes:
        handed_on: how many lines `on_lines` was given, each counted once.
        dropped: number of lines after those.
    """

    def __init__(
        self,
        on_lines: Callable[[list[OutputLine]], Awaitable[None]],
        max_line_bytes: int,
        max_lines: int,
    ) -> None:
        self._on_lines = on_lines
        self._max_line_bytes = max_line_bytes
        self._max_lines = max_lines
        self._sinks: list[LineSink] = []
        self._turn = asyncio.Lock()
        self.handed_on = 0
        self.dropped = 0

    def sink(self, stream: StreamName) -> "LineSink":
        """What takes the bytes of one of the pipes."""
        sink = LineSink(stream, LineSplitter(self._max_line_bytes), self)
        self._sinks.append(sink)
        return sink

    @property
    def full(self) -> bool:
        """No further line will be delivered."""
        return self.handed_on >= self._max_lines

    async def hand_on(self, sink: "LineSink", lines: list[tuple[str, int]]) -> None:
        """Hand on the next lines of a pipe, as `LineSplitter` gives them."""
        for start in range(0, len(lines), _BATCH_LINES):
            async with self._turn:
                # What the other pipe began was printed before this.
                begun = [
                    line for other in self._sinks if other is not sink for line in other.begun()
                ]
                if begun:
                    await self._on_lines(begun)
                numbered = self._numbered(sink, lines[start : start + _BATCH_LINES])
                if numbered:
                    await self._on_lines(numbered)

    async def show_open(self, now_s: float) -> None:
        """Hand on what stands in lines that have not ended, where it is due."""
        async with self._turn:
            batch = [line for sink in self._sinks for line in sink.due(now_s)]
            if batch:
                await self._on_lines(batch)

    def _numbered(self, sink: "LineSink", lines: list[tuple[str, int]]) -> list[OutputLine]:
        numbered = []
        for text, omitted in lines:
            n, sink.open_n = sink.open_n, None
            replaces = n is not None
            n = n or self.next_number()
            if n is None:
                self.dropped += 1
            else:
                numbered.append(
                    OutputLine(sink.stream, n, text, omitted > 0, omitted, replaces=replaces)
                )
        return numbered

    def next_number(self) -> int | None:
        """A line's number; None where no more lines are handed on."""
        if self.full:
            return None
        self.handed_on += 1
        return self.handed_on


class LineSink:
    """The lines of one pipe, on their way to the hand-over.

    Attributes:
        stream: which of the pipes.
        open_n: the number under which the line that has not ended was shown; None where it was not.
    """

    def __init__(self, stream: StreamName, splitter: LineSplitter, lines: LineHandOver) -> None:
        self.stream: StreamName = stream
        self.open_n: int | None = None
        self._splitter = splitter
        self._lines = lines
        self._shown = ""
        # When the line began or was shown last.
        self._changed_s: float | None = None
        # Whether the line had not ended when there was nothing more to read.
        self._waits = False

    async def take(self, data: bytes, *, is_all: bool) -> None:
        """Take the next bytes; returns when the lines in them were delivered."""
        self._waits = False
        if self._lines.full and self.open_n is None:
            self._lines.dropped += self._splitter.skip(data)
            return
        if not _may_rewrite(data):
            await self._take(data)
        else:
            for start in range(0, len(data), _SLICE_BYTES):
                await self._take(data[start : start + _SLICE_BYTES])
                await asyncio.sleep(0)
        self._waits = is_all and self._splitter.is_open

    async def _take(self, data: bytes) -> None:
        lines = self._splitter.feed(data)
        if lines or self._changed_s is None:
            now_s = asyncio.get_running_loop().time()
            self._changed_s = now_s if self._splitter.is_open else None
        await self._lines.hand_on(self, lines)

    async def end(self) -> None:
        """Hand on what stands after the last line's end."""
        await self._lines.hand_on(self, self._splitter.finish())
        self._changed_s = None

    def begun(self) -> list[OutputLine]:
        """The line that has not ended, where it was not shown yet."""
        return self._partial() if self._waits and self.open_n is None else []

    def due(self, now_s: float) -> list[OutputLine]:
        """The line that has not ended, where it has changed and was not shown for a while."""
        if self._changed_s is None or now_s < self._changed_s + PARTIAL_AFTER_S:
            return []
        # The end of a line that was read in part stands in the pipe; one that is rewritten may be
        # rewritten without end.
        if not (self._waits or self._splitter.is_rewritten):
            return []
        self._changed_s = now_s
        return self._partial()

    def _partial(self) -> list[OutputLine]:
        text, omitted = self._splitter.current()
        if self.open_n is not None and text == self._shown:
            return []
        replaces = self.open_n is not None
        self.open_n = self.open_n or self._lines.next_number()
        if self.open_n is None:
            return []
        self._shown = text
        return [
            OutputLine(
                self.stream, self.open_n, text, omitted > 0, omitted,
                partial=True, replaces=replaces,
            )
        ]  # fmt: skip
