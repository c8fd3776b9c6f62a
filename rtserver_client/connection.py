"""One WebSocket of a project: frames in, the token renewed in band."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from rtserver_client.frames import ClosingFrame
from rtserver_client.tokens import Tokens, renewal_in_s

OPEN_TIMEOUT_S = 20.0
PING_S = 20.0
MAX_FRAME_BYTES = 32 * 1024 * 1024
"""The server sends none as large; it bounds what a stranger in its place can make us hold."""

Frame = dict[str, Any]


class EndedError(Exception):
    """The connection ended, or was not had.

    Attributes:
        code: the close code, or the status of the answer; None where the way was cut.
        reason: in words.
        retry_after_s: what the server asked to wait; None where it said not to come back, or
            nothing.
        reconnect: what the server said; None where it said nothing.
    """

    def __init__(
        self,
        code: int | None,
        reason: str,
        *,
        retry_after_s: float | None = None,
        reconnect: bool | None = None,
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.reconnect = reconnect


@contextlib.asynccontextmanager
async def opened(
    base_url: str,
    project_id: str,
    proposal_ids: Sequence[str],
    tokens: Tokens,
    last_event_id: str | None,
) -> AsyncIterator[AsyncIterator[Frame]]:
    """A connection's frames, in order, for as long as the context lasts.

    Raises:
        EndedError: it was not had; likewise the iterator, when it ends.
    """
    token = await tokens.current()
    try:
        socket = await connect(
            _address(base_url, project_id, proposal_ids, last_event_id),
            # A token never travels in an address: these stand in logs.
            subprotocols=[Subprotocol("bearer"), Subprotocol(token)],
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            max_size=MAX_FRAME_BYTES,
        )
    except InvalidStatus as error:
        raise _refused(error) from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise EndedError(None, repr(error)) from error
    async with socket:
        renewing = asyncio.create_task(_renew(socket, tokens, token)) if tokens.can_renew else None
        try:
            yield _frames(socket)
        finally:
            if renewing is not None:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)


async def _frames(socket: ClientConnection) -> AsyncIterator[Frame]:
    closing: ClosingFrame | None = None
    try:
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "closing":
                closing = cast(ClosingFrame, frame)
            yield frame
    except ConnectionClosed:
        pass  # an end without a close frame is an end too
    if closing is not None:
        wait_ms = closing["retry_after_ms"]
        raise EndedError(
            closing["code"],
            closing["reason"],
            retry_after_s=None if wait_ms is None else wait_ms / 1000,
            reconnect=closing["reconnect"],
        )
    code = socket.close_code
    raise EndedError(None if code == 1006 else code, socket.close_reason or "the connection ended")


async def _renew(socket: ClientConnection, tokens: Tokens, token: str) -> None:
    """Send a new token before the one in use expires."""
    while (wait_s := renewal_in_s(token)) is not None:
        await asyncio.sleep(wait_s)
        token = await tokens.renew()
        await socket.send(json.dumps({"type": "refresh_token", "token": token}))


def _address(
    base_url: str, project_id: str, proposal_ids: Sequence[str], last_event_id: str | None
) -> str:
    query = [("proposal_id", proposal_id) for proposal_id in proposal_ids]
    if last_event_id is not None:
        query.append(("last_event_id", last_event_id))
    scheme, _, rest = base_url.rstrip("/").partition("://")
    socket_scheme = "wss" if scheme == "https" else "ws"
    return f"{socket_scheme}://{rest}/ws/projects/{quote(project_id, safe='')}?{urlencode(query)}"


def _refused(error: InvalidStatus) -> EndedError:
    response = error.response
    wait = response.headers.get("Retry-After", "")
    reason = response.reason_phrase
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        reason = json.loads(response.body or b"")["detail"]
    return EndedError(
        response.status_code,
        reason,
        retry_after_s=float(wait) if wait.isdecimal() else None,
    )
