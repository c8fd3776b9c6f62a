r"""The smallest Tornado server that fans out: `write_message` to each connection, in a loop.

It is what the other numbers are set beside. A control WebSocket on `/control` takes
`COUNT\nPAYLOAD` and sends PAYLOAD to every connection COUNT times. With BENCH_JWT_SECRET set
a connection is accepted only with a valid HS256 token, so that accepting connections can be
compared with and without that work.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable

import jwt
import tornado.web
import tornado.websocket


class Subscriber(tornado.websocket.WebSocketHandler):
    """One connection that is sent everything."""

    def initialize(self, subscribers: "set[Subscriber]", secret: str | None) -> None:
        """Takes its dependencies."""
        self.subscribers = subscribers
        self.secret = secret

    def prepare(self) -> None:
        """Checks the token before the upgrade."""
        if self.secret is None:
            return
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        try:
            jwt.decode(token, self.secret, algorithms=["HS256"], options={"require": ["exp"]})
        except jwt.InvalidTokenError:
            raise tornado.web.HTTPError(401) from None
        if scheme != "Bearer":
            raise tornado.web.HTTPError(401)

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Starts to be sent everything."""
        self.subscribers.add(self)

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:  # noqa: ARG002 -- ignored
        """Ignores what it is sent."""
        return None

    def on_close(self) -> None:
        """Stops."""
        self.subscribers.discard(self)


class Control(tornado.websocket.WebSocketHandler):
    """The socket that says what to send."""

    def initialize(self, subscribers: set[Subscriber]) -> None:
        """Takes its dependencies."""
        self.subscribers = subscribers

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Sends the payload to every connection, as often as it was told."""
        text = message if isinstance(message, str) else message.decode()
        count, _, payload = text.partition("\n")
        for _ in range(int(count)):
            for subscriber in self.subscribers:
                subscriber.write_message(payload)
        return None


async def main(port: int) -> None:
    subscribers: set[Subscriber] = set()
    secret = os.environ.get("BENCH_JWT_SECRET")
    application = tornado.web.Application(
        [
            ("/control", Control, {"subscribers": subscribers}),
            ("/ws", Subscriber, {"subscribers": subscribers, "secret": secret}),
        ],
        log_function=lambda _handler: None,
    )
    application.listen(port, "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
