"""Answers in gzip (RFC 1952), where the client takes it and it is worth the worker's time."""

import gzip

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

MIN_BYTES = 1400
"""What goes in one packet anyway gains nothing."""
MAX_JSON_BYTES = 4 * 1024 * 1024
"""Of more the worker does nothing else for too long: level 1 takes 8 ms a MiB."""
JSON_LEVEL = 1
_JSON = ("application/json", "application/problem+json")
_DIGEST_TAG_CHARS = 42
"""Tornado's own entity tag: the SHA-1 of the answer in hex, in quotes."""


def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether an `Accept-Encoding` allows gzip (RFC 9110 section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in (accept_encoding or "").lower().split(","):
        coding, _, parameters = part.partition(";")
        _, _, weight = parameters.partition("q=")
        try:
            weights[coding.strip()] = float(weight) if weight else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def gzipped(content: bytes, level: int) -> bytes:
    """The content in gzip: always the same bytes for the same content."""
    return gzip.compress(content, compresslevel=level, mtime=0)


class JsonCompression(OutputTransform):
    """Compresses JSON that is answered as a whole; streams and other kinds go as they are.

    An entity tag that clients send back in `If-Match` must stay what it is, and strong, so an
    answer that brings its own tag goes uncompressed. Tornado's digest of the answer is left out
    with compression: it would be of other bytes.
    """

    def __init__(self, request: HTTPServerRequest) -> None:
        self._wanted = takes_gzip(request.headers.get("Accept-Encoding"))

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """See Tornado's `OutputTransform`."""
        kind = headers.get("Content-Type", "").partition(";")[0].strip()
        if kind not in _JSON or not finishing or "Content-Encoding" in headers:
            return status_code, headers, chunk
        headers.add("Vary", "Accept-Encoding")
        is_worth_it = MIN_BYTES <= len(chunk) <= MAX_JSON_BYTES
        has_own_tag = len(headers.get("ETag", "_" * _DIGEST_TAG_CHARS)) != _DIGEST_TAG_CHARS
        if not self._wanted or not is_worth_it or has_own_tag:
            return status_code, headers, chunk
        if "ETag" in headers:
            del headers["ETag"]
        chunk = gzipped(chunk, JSON_LEVEL)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(chunk))
        return status_code, headers, chunk
