"""A file as it is answered: plain, in gzip, and with an entity tag for each."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handlers.base.compression import MIN_BYTES, gzipped

LEVEL: Final = 9
"""Done once a file, not once a request."""
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is compressed, by its suffix: text. Pictures are compressed already."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file in both forms. Each has a strong tag of its own (RFC 9110 section 8.8.3).

    Attributes:
        plain: as it is.
        packed: in gzip; None where that is not smaller.
        media_type: the `Content-Type`.
    """

    plain: bytes
    packed: bytes | None
    media_type: str
    digest: str

    @classmethod
    def of(cls, plain: bytes, suffix: str) -> "Content":
        """Compress a file's bytes.

        Args:
            plain: the bytes.
            suffix: of its name, one of `TYPES`.
        """
        packed = gzipped(plain, LEVEL) if len(plain) >= MIN_BYTES else None
        if packed is not None and len(packed) >= len(plain):
            packed = None
        return cls(plain, packed, TYPES[suffix], hashlib.sha256(plain).hexdigest()[:32])

    def form(self, *, gzip: bool) -> tuple[bytes, str, bool]:
        """The bytes to send, their entity tag, and whether they are in gzip."""
        if gzip and self.packed is not None:
            return self.packed, f'"{self.digest}-gzip"', True
        return self.plain, f'"{self.digest}"', False


class Contents:
    """The files that were asked for, compressed; read anew where they have changed on disk."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Content]] = {}

    def get(self, path: Path) -> Content:
        """A file, whose suffix is one of `TYPES`.

        Raises:
            OSError: it cannot be read.
        """
        found = path.stat()
        state = (found.st_mtime_ns, found.st_size)
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = self._known[path] = state, Content.of(path.read_bytes(), path.suffix)
        return known[1]
