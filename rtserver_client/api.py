"""The HTTP interface: requests with the token, made again where that is safe."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Self

import httpx2

from rtserver_client.backoff import Backoff
from rtserver_client.errors import ApiError, UnreachableError
from rtserver_client.tokens import Tokens

ATTEMPTS = 8
TIMEOUT_S = 30.0
TOO_OFTEN, UNAVAILABLE = 429, 503
IDEMPOTENT = ("GET", "PUT", "DELETE")

Json = dict[str, Any]


class Api:
    """Makes requests.

    Where the server does not answer, or cannot now, a request is made up to eight times, with
    back-off, if a second one does no harm: GET, PUT, DELETE (RFC 9110 section 9.2.2), and what
    has an idempotency key. Any other one is made again where it is known that nothing was done:
    no connection was had, or it came too often (429).
    """

    def __init__(self, base_url: str, tokens: Tokens) -> None:
        self._tokens = tokens
        self._http = httpx2.AsyncClient(base_url=base_url.rstrip("/"), timeout=TIMEOUT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        key: str | None = None,
    ) -> Json:
        """What the server answers.

        Args:
            method: of the request.
            path: of its address.
            body: is sent as JSON.
            query: parameters of the address.
            key: makes the same request, made again, harmless.

        Raises:
            ApiError: the server refused it.
            UnreachableError: it did not answer.
        """
        response = await self._request(method, path, body, query, key)
        return response.json() if response.content else {}

    async def content(self, path: str) -> bytes:
        """The bytes of an answer. Errors are as for `call`."""
        return (await self._request("GET", path, None, None, None)).content

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int] | None,
        key: str | None,
    ) -> httpx2.Response:
        backoff, renewed = Backoff(most_s=5.0), False
        harmless = method in IDEMPOTENT or key is not None
        headers = {"Idempotency-Key": key} if key else {}
        for left in reversed(range(ATTEMPTS)):
            headers["Authorization"] = f"Bearer {await self._tokens.current()}"
            wait_s = 0.0
            try:
                response = await self._http.request(
                    method, path, json=body, params=query, headers=headers
                )
            except httpx2.TransportError as error:
                if not left or not (harmless or isinstance(error, httpx2.ConnectError)):
                    raise UnreachableError(f"{method} {path}: {error!r}") from error
            else:
                if response.is_success:
                    return response
                if response.status_code == 401 and self._tokens.can_renew and not renewed:
                    renewed = True
                    await self._tokens.renew()
                    continue
                again = response.status_code == TOO_OFTEN or (
                    response.status_code == UNAVAILABLE and harmless
                )
                if not left or not again:
                    raise ApiError(response.status_code, _problem(response))
                wait_s = _seconds(response.headers.get("Retry-After"))
            await asyncio.sleep(backoff.next_s(wait_s))
        raise UnreachableError(f"{method} {path}: no answer")


def new_key() -> str:
    """An idempotency key that nobody else uses."""
    return uuid.uuid4().hex


def _problem(response: httpx2.Response) -> Json:
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"title": response.reason_phrase}


def _seconds(text: str | None) -> float:
    return min(float(text), 60.0) if text and text.isdecimal() else 0.0
