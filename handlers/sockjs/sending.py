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

_decode_messages = msgspec.json.Decoder(list[str]).decode


class SendingHandler(CorrectedHandler):
    """A request that carries messages from the client."""

    def take(self, session_id: str, body: Callable[[], bytes]) -> bool:
        """Hand the messages to the session; whether that worked (else it was said)."""
        self.preflight()
        self.handle_session_cookie()
        self.disable_cache()
        session = self.server.get_session(session_id)
        if session is None or session.is_closed or not session.is_peer(self):
            self.set_status(404)
            return False
        data = body()
        if len(data) > self.context.max_message_bytes * HARD_LIMIT_FACTOR:
            raise Problem(413, "The messages are far too large", "too_large")
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

    def post(self, session_id: str) -> None:
        """Take messages; 204."""
        if self.take(session_id, lambda: self.request.body):
            self.set_status(204)
            # Firefox takes an answer without a type for XML. Sent at once, since Tornado drops the
            # type of an answer without a body when it finishes.
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.flush()


class JsonpSend(SendingHandler, transports.JSONPSendHandler):  # type: ignore[misc]
    """`/jsonp_send`."""

    def post(self, session_id: str) -> None:
        """Take messages; `ok`, since some browsers make a page of a 204."""
        if self.take(session_id, self._payload):
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("ok")

    def _payload(self) -> bytes:
        body: bytes = self.request.body
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if content_type.lower() != "application/x-www-form-urlencoded":
            return body
        return unquote_to_bytes(body[2:].replace(b"+", b" ")) if body.startswith(b"d=") else b""
