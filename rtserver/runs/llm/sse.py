"""Reads an event stream as a client does (HTML standard, section 9.2), as far as data goes.

And what servers send in its place, or amid it: a JSON document, a web page, JSON without `data:`,
a field `error:`. All of it comes out as bytes of JSON (or of a page) for the reader of chunks,
which tells the one from the other.
"""

import re
from collections.abc import Iterator

import msgspec

MAX_EVENT_BYTES = 1024 * 1024
_MAX_STRAY_BYTES = 300
_BOM = b"\xef\xbb\xbf"

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELD = re.compile(rb"(?:event|id|retry)?:|(?:event|id|retry)\Z|data\Z")
_JSON_BEGINS = (b"{", b"[")
_JSON_ENDS = (b"}", b"]")


class BrokenStreamError(Exception):
    """What came is no event stream; the message is for people.

    Attributes:
        retry: whether it may be another thing at the next try.
    """

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class SseReader:
    """Takes bytes as they come, gives the data of each complete event.

    The time it takes grows with the number of bytes, however they are cut.

    Attributes:
        stray: the first words that are in no field, for people to read.
    """

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, max_document_bytes: int | None = None
    ) -> None:
        """Make a reader.

        Args:
            max_event_bytes: of an event, or a line.
            max_document_bytes: of a JSON document that comes instead of a stream; the same where
                it is not given.
        """
        self.stray = b""
        self._max_event_bytes = max_event_bytes
        self._max_document_bytes = max_document_bytes or max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._parts: list[bytes] = []  # of a line that has no end yet
        self._parts_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_error = False
        self._document: list[bytes] = []
        self._document_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Raises:
            BrokenStreamError: a line or an event has no end, or there are no blank lines.
        """
        if self._is_between_events() and self._is_one_event(chunk):
            self._at_start = False
            yield chunk[6:-2]
            return
        # A CR ended its line already. A LF after it belongs to it, wherever the bytes were cut.
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        first, *lines = _LINE_END.split(chunk)
        self._hold(first)
        for line in lines:
            yield from self._line(b"".join(self._parts))
            self._parts.clear()
            self._parts_bytes = 0
            self._hold(line)

    def end(self) -> Iterator[bytes]:
        """The stream is over: an event that lacks only its blank line is taken all the same."""
        yield from self.feed(b"\n\n")
        yield from self._end_document()

    def rest(self) -> bytes:
        """A document, or a page, of which more may come; empty where there is none."""
        rest = b"\n".join([*self._document, b"".join(self._parts)]).strip()
        if self._at_start:
            rest = rest.removeprefix(_BOM).lstrip()
        return rest if rest.startswith((*_JSON_BEGINS, b"<")) else b""

    def _hold(self, part: bytes) -> None:
        if not part:
            return
        self._parts.append(part)
        self._parts_bytes += len(part)
        if self._parts_bytes + self._data_bytes > self._max_event_bytes:
            begin = self._document[0] if self._document else b"".join(self._parts[:8])
            if not begin.removeprefix(_BOM).lstrip().startswith(_JSON_BEGINS):
                raise BrokenStreamError("a line of the stream has no end")
            self._check_document(self._parts_bytes)

    def _line(self, line: bytes) -> Iterator[bytes]:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = not line  # a mark may stand alone on a line, before the first event
        if line.startswith(b"data:"):
            yield from self._end_document()
            data = line[5:].removeprefix(b" ")
            # Some gateways make events of the lines that they get, and not of what is in them.
            self._add(data[5:].lstrip() if data.startswith(b"data:") else data)
        elif not line:
            if self._document:
                yield from self._bare(line)
            elif self._data or self._is_error:
                yield self._event()
        elif _FIELD.match(line):
            if line.startswith(b"event:"):
                self._is_error = line[6:].strip().lower() == b"error"
        elif line.startswith(b"error:"):
            yield from self._end_document()
            yield _as_error(line[6:])
        else:
            yield from self._bare(line)

    def _bare(self, line: bytes) -> Iterator[bytes]:
        """Take a line that is in no field: of a document, or stray words."""
        text = line.strip()
        if self._document:
            self._document.append(line)
            self._document_bytes += len(line) + 1
            self._check_document()
            # Indented as people read it, a document ends where a line begins with its bracket.
            if line.startswith(_JSON_ENDS):
                yield from self._end_document()
        elif text.startswith(b"<"):
            yield text
        elif text.startswith(_JSON_BEGINS):
            if text.endswith(_JSON_ENDS):
                yield text
            else:
                self._document.append(line)
                self._document_bytes = len(line)
        elif not self.stray:
            self.stray = text[:_MAX_STRAY_BYTES]

    def _end_document(self) -> Iterator[bytes]:
        if self._document:
            document, self._document = b"\n".join(self._document), []
            self._document_bytes = 0
            yield document.strip()

    def _check_document(self, more_bytes: int = 0) -> None:
        if self._document_bytes + more_bytes > self._max_document_bytes:
            raise BrokenStreamError("its JSON has no end", retry=False)

    def _add(self, data: bytes) -> None:
        if self._data and self._data[-1].rstrip().endswith(b"}"):
            following = data.lstrip()
            if following.startswith((b"{", b"[DONE]")):
                raise BrokenStreamError(
                    "there are no blank lines between the pieces of its stream, as server-sent "
                    "events need them",
                    retry=False,
                )
        self._data.append(data)
        self._data_bytes += len(data) + 1
        if self._data_bytes > self._max_event_bytes:
            raise BrokenStreamError("an event of the stream has no end")

    def _event(self) -> bytes:
        data, self._data = b"\n".join(self._data), []
        self._data_bytes = 0
        is_error, self._is_error = self._is_error, False
        return _as_error(data) if is_error else data

    def _is_between_events(self) -> bool:
        return not (self._parts_bytes or self._data or self._is_error or self._document)

    def _is_one_event(self, chunk: bytes) -> bool:
        """Whether it is what nearly every chunk is: one event of one line, whole."""
        return (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and chunk.find(b"\n") == len(chunk) - 2
            and b"\r" not in chunk
            and not chunk.startswith(b"data: data:")
            and len(chunk) <= self._max_event_bytes
        )


def _as_error(said: bytes) -> bytes:
    """What is said in an `error` field, or in an event of that name, as a chunk says it."""
    said = said.strip()
    if said.startswith(_JSON_BEGINS):
        return b'{"error":' + said + b"}"
    return msgspec.json.encode({"error": said.decode("utf-8", "replace") or "error"})
