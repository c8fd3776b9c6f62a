"""Attempts over HTTP. Imported only where there are webhooks: a client takes memory and time."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from rtserver.model.version import VERSION
from rtserver.webhooks.addresses import ForbiddenAddressError, PublicResolver, check_literal
from rtserver.webhooks.ports import Answer

MAX_ANSWER_BYTES = 16 * 1024
MAX_CONNECTIONS = 100
"""Of a worker, to all endpoints together."""


class HttpPoster:
    """`rtserver.webhooks.ports.WebhookPoster` by aiohttp. Close it at the end."""

    def __init__(self, *, private: bool, timeout_s: float) -> None:
        """Make it; nothing is sent.

        Args:
            private: addresses that are not public may be told too.
            timeout_s: for an attempt as a whole.
        """
        self._private = private
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close idle connections."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `WebhookPoster.post`."""
        try:
            if not self._private:
                check_literal(urlsplit(url).hostname or "")
            async with self._opened().post(
                URL(url, encoded=True),
                data=body,
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
            ) as response:
                if 200 <= response.status < 300:
                    # A whole answer leaves the connection for the next message.
                    await _read_little(response)
                    return Answer(response.status)
                return Answer(
                    response.status,
                    f"status {response.status}",
                    _retry_after_s(response.headers.get("Retry-After")),
                )
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, ForbiddenAddressError)
            return Answer(None, str(error.os_error) if refused else "no connection")
        except ForbiddenAddressError as error:
            return Answer(None, str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its text may show the URL.
            return Answer(None, f"no answer ({type(error).__name__})")

    def _opened(self) -> aiohttp.ClientSession:
        # Not before: a session belongs to the loop that runs when it is made.
        if self._session is None:
            resolver = None if self._private else PublicResolver()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, resolver=resolver),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={"User-Agent": f"rtserver/{VERSION}"},
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _read_little(response: aiohttp.ClientResponse) -> None:
    """Read an answer's body, unless it is long: then the connection is closed."""
    size_bytes = 0
    try:
        async for chunk in response.content.iter_any():
            size_bytes += len(chunk)
            if size_bytes > MAX_ANSWER_BYTES:
                response.close()
                return
    except (aiohttp.ClientError, TimeoutError):
        response.close()  # the status was said already


def _retry_after_s(text: str | None) -> float | None:
    """The seconds of a Retry-After header (RFC 9110 section 10.2.3); None where it says none."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
