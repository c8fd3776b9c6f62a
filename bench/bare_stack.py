"""The least that durable delivery needs on Tornado and Motor: what is left is not rtserver's.

A POST to `/publish` is inserted with a majority write into a capped collection of a private
mongod, then sent to every connection, one plain `send` each. No token is checked, no sequence
kept, no other worker heard, nobody can resume, and a socket that is full is an error.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import tornado.web
import tornado.websocket

from rtserver.delivery.wire_forms import websocket_frame
from store.base.client import connect
from store.mongod.process import PrivateMongod

BUFFER_BYTES = 64 * 1024 * 1024


class Subscriber(tornado.websocket.WebSocketHandler):
    """One connection that is sent everything."""

    def initialize(self, sockets: "dict[Subscriber, socket.socket]") -> None:
        """Takes its dependencies."""
        self.sockets = sockets

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Starts to be sent everything."""
        stream: Any = self.ws_connection.stream  # type: ignore[union-attr]
        self.sockets[self] = stream.socket

    def on_message(self, message: str | bytes) -> None:
        """Ignores what it is sent."""

    def on_close(self) -> None:
        """Stops."""
        self.sockets.pop(self, None)


class Publish(tornado.web.RequestHandler):
    """Takes one event, keeps it, sends it to all."""

    def initialize(self, sockets: dict[Subscriber, socket.socket], events: Any) -> None:
        """Takes its dependencies."""
        self.sockets, self.events = sockets, events

    async def post(self) -> None:
        """Answers when every connection was sent it."""
        event = json.loads(self.request.body)
        payload = json.dumps(event, separators=(",", ":")).encode()
        await self.events.insert_one({"body": payload})
        frame = websocket_frame(payload)
        for each in self.sockets.values():
            each.send(frame)
        self.set_status(201)
        self.finish({})


async def main(port: int, folder: Path) -> None:
    mongod = PrivateMongod(folder)
    try:
        client = connect(await mongod.start())
        database = client["bare"]
        await database.create_collection("events", capped=True, size=BUFFER_BYTES)
        sockets: dict[Subscriber, socket.socket] = {}
        parts = {"sockets": sockets, "events": database["events"]}
        application = tornado.web.Application(
            [("/publish", Publish, parts), ("/ws", Subscriber, {"sockets": sockets})],
            log_function=lambda _handler: None,
        )
        application.listen(port, "127.0.0.1", backlog=4096)
        await asyncio.Event().wait()
    finally:
        await mongod.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
