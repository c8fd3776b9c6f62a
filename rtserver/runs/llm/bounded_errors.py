"""Keeps the body of an error answer within bounds: the client reads it as a whole."""

from collections.abc import AsyncIterator

import httpx2

MAX_ERROR_BYTES = 64 * 1024


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ERROR_BYTES
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound_error_body(response: httpx2.Response) -> None:
    """An httpx response hook."""
    if response.is_error and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)
