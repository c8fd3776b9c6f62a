"""Requests that carry messages from the client.

The library iterates over whatever JSON it gets, over the letters of a string too, and answers 500
for what was an error of ours. Anybody who knows a session may send to it.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import msgspec

from handlers.base.problems import Problem
from handlers.realtime.socket_base import HARD_LIMIT_FACTOR
from handlers.sockjs.library import transports
from handlers.sockjs.request import CorrectedHandler
from handlers.sockjs.sessions import PollSession

EARLY_FACTOR = 4
"""Of a session without a hello, so many times `max_message_bytes` are read: a message takes more
than it has, escaped and in its array."""

_decode_messages = msgspec.json.Decoder(list[str]).decode


class SendingHandler(CorrectedHandler):
    """A request that carries messages from the client."""

    @property
    def max_body_bytes(self) -> int:  # type: ignore[override]
        """What a session takes at once; of one that nobody is let into yet, a hello at most."""
        session = self.server.get_session(self.path_kwargs["session_id"])
        factor = EARLY_FACTOR if session is None or session.is_early else HARD_LIMIT_FACTOR
        return self.context.max_message_bytes * factor

    async def prepare(self) -> None:
        """Refuse, before they are read, messages to a session that there is not."""
        await super().prepare()
        if self.request.method == "POST" and self._session() is None:
            self._begin()
            self.set_status(404)
            self.finish()

    def too_large(self) -> Problem:
        """The answer to messages that are not even read."""
        return Problem(413, "The messages are far too large", "too_large")

    def _begin(self) -> None:
        self.preflight()
        self.handle_session_cookie()
        self.disable_cache()

    def _session(self) -> PollSession | None:
        session: PollSession | None = self.server.get_session(self.path_kwargs["session_id"])
        if session is None or session.is_closed or not session.is_peer(self):
            return None
        return session

    def take(self, body: Callable[[], bytes]) -> bool:
        """Hand the messages to the session; whether that worked (else it was said)."""
        self._begin()
        session = self._session()
        if session is None:
            self.set_status(404)
            return False
        if self.is_too_large:
            raise self.too_large()
        data = body()
        if not data:
            self.complain("Payload expected.")
            return False
        try:
            messages = _decode_messages(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.complain("Broken JSON encoding.")
            return False
        session.on_messages(messages)
        return True


class XhrSend(SendingHandler, transports.XhrSendHandler):  # type: ignore[misc]
    """`/xhr_send`."""

    def post(self, session_id: str) -> None:  # noqa: ARG002 - Tornado's signature
        """Take messages; 204."""
        if self.take(lambda: bytes(self.received)):
            self.set_status(204)
            # Firefox takes an answer without a type for XML. Sent at once, since Tornado drops the
            # type of an answer without a body when it finishes.
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.flush()


class JsonpSend(SendingHandler, transports.JSONPSendHandler):  # type: ignore[misc]
    """`/jsonp_send`."""

    def post(self, session_id: str) -> None:  # noqa: ARG002 - Tornado's signature
        """Take messages; `ok`, since some browsers make a page of a 204."""
        if self.take(self._payload):
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("ok")

    def _payload(self) -> bytes:
        body = bytes(self.received)
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if content_type.lower() != "application/x-www-form-urlencoded":
            return body
        return unquote_to_bytes(body[2:].replace(b"+", b" ")) if body.startswith(b"d=") else b""
