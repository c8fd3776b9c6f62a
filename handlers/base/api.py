"""The handler of the HTTP interface: a token, a bounded body, JSON in and out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
from tornado import web

from handlers.base.context import HandlerContext
from handlers.base.handler import CHANGING_METHODS, BaseHandler
from handlers.base.problems import Problem
from handlers.base.tornado_body import expect_body, reading_on
from rtserver.audit.record.actions import Action
from rtserver.lib.decode_errors import complaint, why_not_json
from rtserver.model.errors import HiddenError, RefusedError, StoreUnavailableError
from rtserver.model.identity import Identity

MAX_BODY_BYTES = 4 * 1024 * 1024
DISCARD_BYTES = 64 * 1024 * 1024
"""Of a body whose length is not announced, so much is read and thrown away beyond its bound. One
that is announced is read over for as long as the server lets a body take."""
MAX_LENGTH_DIGITS = 18

T = TypeVar("T", bound=msgspec.Struct)


def _too_large() -> Problem:
    return Problem(413, f"A body may have {MAX_BODY_BYTES} bytes at most", "too_large")


@web.stream_request_body
class ApiHandler(BaseHandler):
    """A handler of the HTTP interface: needs a token, takes and gives JSON."""

    identity: Identity

    def initialize(self, context: HandlerContext) -> None:
        """Take what the composition root gives."""
        super().initialize(context)
        self._received = bytearray()
        self._is_too_large = False

    async def prepare(self) -> None:
        """Check size, origin and token before the body is read."""
        announced_bytes = self._announced_bytes()
        expect_body(self, max(announced_bytes, DISCARD_BYTES))
        self._set_cors_headers()
        if self.request.method == "OPTIONS":
            return
        if announced_bytes > MAX_BODY_BYTES:
            raise _too_large()
        self.identity = await self.context.gateway.identify(self.found_token())
        if self.request.method in CHANGING_METHODS:
            self.context.auditor.ensure(self.audit_action)

    def _announced_bytes(self) -> int:
        """The length that the request says; Tornado refuses what is no length."""
        length = self.request.headers.get("Content-Length", "")
        return int(length[:MAX_LENGTH_DIGITS]) if length.isascii() and length.isdigit() else 0

    def data_received(self, chunk: bytes) -> None:
        """Gather the body, up to its bound; the rest is thrown away."""
        if len(self._received) + len(chunk) > MAX_BODY_BYTES:
            self._is_too_large = True
            self._received.clear()
        if not self._is_too_large:
            self._received.extend(chunk)

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        """Answer; a body that is still coming in is read all the same.

        Closing a socket with unread data resets it, and the client would not get to read what
        was wrong with what it sends.
        """
        with reading_on(self):
            return super().finish(chunk)

    @property
    def _body(self) -> bytearray:
        """The body.

        Raises:
            Problem: 413 where it is too large.
            TokenRefused: the token was revoked while the body came in, which may take a minute.
        """
        if self._is_too_large:
            raise _too_large()
        self.context.gateway.check(self.identity)
        return self._received

    def options(self, *_args: str) -> None:
        """Answer a preflight request (Fetch standard, CORS protocol)."""
        origin = self.request.headers.get("Origin")
        self.set_header("Allow", ", ".join(self._allowed_methods()))
        if origin is not None and self.context.origins.listed(origin):
            self.set_header("Access-Control-Allow-Methods", ", ".join(self._allowed_methods()))
            self.set_header(
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
                "Last-Event-ID",
            )
            self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)
        self.finish()

    def body(self, kind: type[T]) -> T:
        """The request's body as a typed value.

        Raises:
            Problem: 400 where it is not JSON, 422 where something in it is missing or wrong.
        """
        self._check_declared(kind, "body")
        try:
            return msgspec.json.decode(bytes(self._body), type=kind)
        except msgspec.ValidationError as error:
            said = complaint(error, kind)
            raise Problem(422, f"The body does not fit: {said}", "invalid") from None
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise Problem(400, why_not_json(self._body, error), "malformed") from None

    def will(self, action: Action) -> None:
        """Say what this request does, where that shows only after its body was read.

        Raises:
            AuditFullError: it must be recorded, and can't be.
        """
        self.audit_action = action
        self.context.auditor.ensure(action)

    @contextlib.asynccontextmanager
    async def about(self, proposal_id: str) -> AsyncIterator[None]:
        """Do something to a proposal; a refusal is recorded with the proposal's project too."""
        self.audit_target = proposal_id
        try:
            yield
        except HiddenError:
            raise  # it tells the project by itself
        except RefusedError:
            with contextlib.suppress(StoreUnavailableError):
                found = await self.context.proposals.get(proposal_id)
                if found is not None:
                    self.acting.project_id = found.project_id
            raise

    def open_project(self, text: str) -> str:
        """A project id of the path that the token opens.

        Raises:
            BadIdentifier: it is not an id.
            Problem: 403 where the token does not open it.
        """
        project_id = self.acting.project_id = self.project_id(text)
        if not self.identity.may_open(project_id):
            raise Problem(403, "This token does not open the project", "forbidden")
        return project_id
