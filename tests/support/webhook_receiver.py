"""A receiver of webhooks: a real server that verifies by the reference library."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@dataclass
class Receiver:
    """What was sent, and what is answered.

    Attributes:
        url: where it listens.
        status: what it answers.
        headers: sent with that.
        got: ids and bodies of all that was sent, in order.
        accepted: the same of what was answered with a 2xx status.
        answering: cleared, it keeps senders waiting.
    """

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        told = Webhook(SECRET).verify(await request.read(), dict(request.headers))
        message = (request.headers["webhook-id"], told)
        self.got.append(message)
        await self.answering.wait()
        if self.status < 300:
            self.accepted.append(message)
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def receiver(host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Have one at an address of this machine."""
    one = Receiver()
    one.answering.set()
    application = web.Application()
    application.router.add_post("/hook", one.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        one.url = f"http://{host}:{runner.addresses[0][1]}/hook"
        yield one
    finally:
        one.answering.set()
        await runner.cleanup()
