"""An HTTP endpoint for chat completions: where it is, and how it is reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from rtserver.runs.llm.errors import error_of_status

MAX_ERROR_BYTES = 64 * 1024
_SHORTEST_SECRET_CHARS = 4
_PATH = "/chat/completions"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Endpoint:
    """Sends requests to one address. Make it once: connections are kept for the next request."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        headers: tuple[tuple[str, str], ...],
        connect_timeout_s: float,
    ) -> None:
        """Make a client; nothing is sent.

        Args:
            base_url: see `completions_url`.
            api_key: sent as a bearer token.
            headers: sent too; one of a name wins over the client's own.
            connect_timeout_s: for a connection, its name and its TLS included.
        """
        self._url = completions_url(base_url)
        self._proxy = _proxy_for(urlsplit(base_url))
        self._connect_timeout_s = connect_timeout_s
        self._headers = CIMultiDict(
            {
                "Accept": "application/json",
                # A compressed stream comes in blocks, not as it is written.
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            }
        )
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._headers.update(headers)
        own = [value for _, value in headers]
        own += [value.rpartition(" ")[2] for value in own]
        secrets = {text for text in (api_key, *own) if text and len(text) >= _SHORTEST_SECRET_CHARS}
        self.secrets = tuple(sorted(secrets, key=len, reverse=True))
        """What must not be seen in an error, longest first."""
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close idle connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[aiohttp.StreamReader]:
        """Send a request; the answer's bytes as they come. Leaving it early closes the request.

        Raises:
            LlmError: the answer has an error's status, or redirects.
            aiohttp.ClientError: there is none.
        """
        # The proposal and the key are for the address that the operator named: no redirects.
        async with self._opened().post(
            self._url, data=body, headers=self._headers, proxy=self._proxy, allow_redirects=False
        ) as response:
            if not 200 <= response.status < 300:
                said = await _beginning_of(response)
                raise error_of_status(response.status, response.headers, said, self.secrets)
            yield response.content

    def _opened(self) -> aiohttp.ClientSession:
        # Not before: a session belongs to the loop that runs when it is made.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # How many requests are under way is bounded by the number of runs.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s),
                # With it aiohttp would look into ~/.netrc, and refuse to send our own key then.
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def completions_url(base_url: str) -> URL:
    """Where completions are asked for.

    `/chat/completions` is added to the path, before a query as Azure's `?api-version=`, unless the
    path ends with it already.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if not path.endswith(_PATH):
        path += _PATH
    return URL(parts._replace(path=path, fragment="").geturl(), encoded=True)


def _proxy_for(address: SplitResult) -> str | None:
    """The proxy that the environment names for an address (`HTTPS_PROXY`, `NO_PROXY` ...)."""
    if address.hostname in _LOOPBACK or proxy_bypass(address.netloc):
        return None
    return getproxies().get(address.scheme)


async def _beginning_of(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body; an endless one is not read to its end."""
    body = b""
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= MAX_ERROR_BYTES:
                break
    except aiohttp.ClientError:
        pass  # the status says enough
    return body[:MAX_ERROR_BYTES]
