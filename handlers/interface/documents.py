"""`/api/v1/openapi.json` and `/api/v1/asyncapi.json`: the interface, for programs."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from handlers.base.context import HandlerContext
from handlers.base.handler import BaseHandler
from handlers.base.operations import Answer, operation


def published(document: dict[str, Any]) -> bytes:
    """A document as it is sent."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


class DocumentHandler(BaseHandler):
    """A document that is the same for everybody, for as long as the server runs."""

    def initialize(self, context: HandlerContext, content: Callable[[], bytes]) -> None:  # type: ignore[override]
        """Take what gives the document."""
        super().initialize(context)
        self._content = content

    def compute_etag(self) -> str:
        """Of the content; Tornado answers 304 by it where `If-None-Match` has it."""
        return f'"{hashlib.sha256(self._content()).hexdigest()[:32]}"'

    def _answer(self) -> None:
        self.set_header("Access-Control-Allow-Origin", "*")  # tools that show it run elsewhere
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-cache")
        self.finish(self._content())


_ANSWERS = {
    200: Answer((dict[str, Any],), headers=("ETag",), description="The document"),
    304: Answer(headers=("ETag",), description="It is as it was"),
}


class OpenapiHandler(DocumentHandler):
    """Of the HTTP interface."""

    @operation("getOpenapi", _ANSWERS, needs_token=False)
    def get(self) -> None:
        """Describe the HTTP interface, as OpenAPI 3.1."""
        self._answer()


class AsyncapiHandler(DocumentHandler):
    """Of the sockets and event streams."""

    @operation("getAsyncapi", _ANSWERS, needs_token=False)
    def get(self) -> None:
        """Describe WebSockets, SockJS and event streams, as AsyncAPI 3."""
        self._answer()
