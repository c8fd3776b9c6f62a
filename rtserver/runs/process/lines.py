"""Output of a command as lines: cut to bounded length, numbered, and delivered in order."""

import asyncio
import codecs
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

StreamName = Literal["stdout", "stderr"]

# A burst of short lines is delivered in pieces, each awaited, so that it arrives at the log and at
# its readers at the pace at which they take it.
_BATCH_LINES = 256


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line that a command printed.

    Attributes:
        stream: where it was printed.
        n: its number within the run, from 1, over both streams.
        text: the line without its end; what was not UTF-8 is U+FFFD.
        truncated: `text` is only the beginning of the line.
        omitted_bytes: how much of the line is left out of `text`.
    """

    stream: StreamName
    n: int
    text: str
    truncated: bool = False
    omitted_bytes: int = 0


class LineSplitter:
    """Cuts a stream of bytes into lines of bounded length. Does no I/O.

    Lines end with LF or CR LF. A line is given out when it has ended, so a character that is
    spread over two reads stays whole.

    Args:
        max_line_bytes: how much of one line is kept.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._limit = max_line_bytes
        self._kept = bytearray()
        self._omitted = 0
        self._ends_with_cr = False
        self._open = False

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """The lines that `data` completes: text, and number of bytes that it leaves out."""
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            if not self._open and len(piece) <= self._limit:
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

    def _add(self, piece: bytes) -> None:
        if piece:
            self._open = True
            self._ends_with_cr = piece.endswith(b"\r")
            room = max(0, self._limit - len(self._kept))
            self._kept += piece[:room]
            self._omitted += max(0, len(piece) - room)

    def _take(self) -> tuple[str, int]:
        kept, omitted = self._kept, self._omitted
        if self._ends_with_cr:
            if omitted:
                omitted -= 1
            else:
                del kept[-1]
        self._kept, self._omitted, self._ends_with_cr, self._open = bytearray(), 0, False, False
        if not omitted:
            text = kept.decode("utf-8", "replace")
        else:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text = decoder.decode(kept)
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
        handed_on: number of lines that `on_lines` was given.
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
        self._turn = asyncio.Lock()
        self.handed_on = 0
        self.dropped = 0

    def sink(self, stream: StreamName) -> "LineSink":
        """What takes the bytes of one of the pipes."""
        return LineSink(stream, LineSplitter(self._max_line_bytes), self)

    @property
    def full(self) -> bool:
        """No further line will be delivered."""
        return self.handed_on >= self._max_lines

    async def hand_on(self, stream: StreamName, lines: list[tuple[str, int]]) -> None:
        """Hand on the next lines of a pipe, as `LineSplitter` gives them."""
        for start in range(0, len(lines), _BATCH_LINES):
            async with self._turn:
                piece = lines[start : start + _BATCH_LINES]
                taken = piece[: self._max_lines - self.handed_on]
                self.dropped += len(piece) - len(taken)
                first = self.handed_on + 1
                self.handed_on += len(taken)
                if taken:
                    await self._on_lines(
                        [
                            OutputLine(stream, n, text, omitted > 0, omitted)
                            for n, (text, omitted) in enumerate(taken, start=first)
                        ]
                    )


class LineSink:
    """The lines of one pipe, on their way to the hand-over."""

    def __init__(self, stream: StreamName, splitter: LineSplitter, lines: LineHandOver) -> None:
        self._stream: StreamName = stream
        self._splitter = splitter
        self._lines = lines

    async def take(self, data: bytes) -> None:
        """Take the next bytes; returns when the lines in them were delivered."""
        if self._lines.full:
            self._lines.dropped += self._splitter.skip(data)
        else:
            await self._lines.hand_on(self._stream, self._splitter.feed(data))

    async def end(self) -> None:
        """Hand on what stands after the last line's end."""
        await self._lines.hand_on(self._stream, self._splitter.finish())
