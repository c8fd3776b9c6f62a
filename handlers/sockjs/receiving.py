"""Requests that carry what the server sends: polls and streams.

What is wrong with the library's:

- sockjs-client runs `decodeURI` over each frame of an event stream, and nothing escapes them for
  it: a text with `%` in it was lost, changed, or taken for the end of its message and another one.
- A message can end the script that it stands in. Here none can, and answers of JSONP begin with
  `/**/`.
- Streams of HTTP/1.0 clients that ask for keep-alive never end.
- A lost connection is handled by writing to it.
"""

import json
from collections.abc import Callable
from typing import Any

from handlers.base.tornado_socket import detect_dead_peer, end_with_response, stream_of
from handlers.sockjs.library import HTMLFILE_HEAD, transports
from handlers.sockjs.request import CorrectedHandler
from handlers.sockjs.sessions import PollSession

URI_ESCAPES = str.maketrans({char: f"%{ord(char):02X}" for char in "%\r\n\0"})
"""What `decodeURI` makes something else of, and what a line of an event stream can't hold."""


class ReceivingHandler(CorrectedHandler):
    """A request that carries what the server sends, once or for as long as it lasts."""

    session: PollSession | None
    answers_head = False
    opens_sessions = True
    _attach_session: Callable[..., bool]
    _log_disconnect: Callable[[], None]

    def send_complete(self, future: Any = None) -> None:
        """What was sent is in the socket, or the connection broke: Tornado does not tell which."""
        if stream_of(self).closed():
            self.on_connection_close()
        else:
            super().send_complete(future)  # type: ignore[misc]

    def on_connection_close(self) -> None:
        """The client went away: what was under way may be lost, so the session is over."""
        session, self.session = self.session, None
        if session is not None:
            session.remove_handler(self)
            session.close(1002, "Connection interrupted")
        self._log_disconnect()


class StreamingHandler(ReceivingHandler):
    """A response that goes on until so many bytes were sent, to free the browser's memory."""

    async def prepare(self) -> None:
        """Make the connection one that ends, whatever becomes of the client."""
        await super().prepare()
        if self.request.version == "HTTP/1.0":
            end_with_response(self)
        stream = stream_of(self)
        stream.set_nodelay(True)
        detect_dead_peer(stream, self.context.pong_timeout_s)

    def begin(self, session_id: str, content_type: str, prelude: str) -> None:
        """Begin the response, and send what there is."""
        self._auto_finish = False
        self.preflight()
        self.handle_session_cookie()
        self.disable_cache()
        self.set_header("Content-Type", content_type)
        self.write(prelude)
        self.flush()
        if not self._attach_session(session_id, start_heartbeat=False):
            self.finish()
        elif self.session is not None:
            self.session.flush()


class XhrPolling(ReceivingHandler, transports.XhrPollingTransport):  # type: ignore[misc]
    """`/xhr`."""


class XhrStreaming(StreamingHandler, transports.XhrStreamingTransport):  # type: ignore[misc]
    """`/xhr_streaming`."""

    def post(self, session_id: str) -> None:
        """Begin with 2 KiB, which some browsers hold back."""
        self.begin(session_id, "application/javascript; charset=UTF-8", "h" * 2048 + "\n")


class EventSource(StreamingHandler, transports.EventSourceTransport):  # type: ignore[misc]
    """`/eventsource`."""

    def get(self, session_id: str) -> None:
        """Begin with an empty line, for old Opera."""
        self.begin(session_id, "text/event-stream", "\r\n")

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send an event; sockjs-client's receiver decodes its data by `decodeURI`."""
        self.active = False
        data = f"data: {message.translate(URI_ESCAPES)}\r\n\r\n"
        self.notify_sent(len(data))
        self.write(data)
        self.flush().add_done_callback(self.send_complete)


class HtmlFile(StreamingHandler, transports.HtmlFileTransport):  # type: ignore[misc]
    """`/htmlfile`."""

    def get(self, session_id: str) -> None:
        """Begin with the page in which the scripts arrive."""
        name = self.callback_name()
        if name is not None:
            self.frame_ancestors()
            self.begin(session_id, "text/html; charset=UTF-8", HTMLFILE_HEAD % name)

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send a script."""
        self.active = False
        text = json.dumps(message).replace("<", r"\u003c")  # no message ends the script
        self.notify_sent(len(text))
        self.write(f"<script>\np({text});\n</script>\r\n")
        self.flush().add_done_callback(self.send_complete)


class JsonpPolling(ReceivingHandler, transports.JSONPTransport):  # type: ignore[misc]
    """`/jsonp`."""

    def get(self, session_id: str) -> None:
        """Answer with a call of the client's function."""
        if self.callback_name() is not None:
            super().get(session_id)

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send the call; the comment keeps a callback from being read as another format."""
        self.active = False
        body = f"/**/{self.callback}({json.dumps(message)});\r\n"
        self.set_header("Content-Type", "application/javascript; charset=UTF-8")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        self.flush().add_done_callback(self.send_complete)
