"""The handler of the HTTP interface: a token, a bounded body, JSON in and out."""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, TypeVar

import msgspec

from handlers.base.handler import CHANGING_METHODS, BaseHandler
from handlers.base.operations import operation_of
from handlers.base.problems import Problem
from handlers.base.tornado_body import MAX_BODY_BYTES, UNUSED_BODY_BYTES
from rtserver.audit.record.actions import Action
from rtserver.lib.decode_errors import complaint, why_not_json
from rtserver.model.errors import HiddenError, RefusedError, StoreUnavailableError
from rtserver.model.identity import Identity
from rtserver.sessions.request_rates import Counted

KNOWN_DISCARD_BYTES = 64 * 1024 * 1024
"""So much is read over of what somebody with a token sends: they are to see what was wrong."""

T = TypeVar("T", bound=msgspec.Struct)


class ApiHandler(BaseHandler):
    """A handler of the HTTP interface: needs a token, takes and gives JSON.

    Attributes:
        counted: what its requests count as.
    """

    identity: Identity
    counted: ClassVar[Counted] = Counted.REQUEST

    def __init_subclass__(cls) -> None:
        """Let reads of each kind of handler end where MongoDB does not answer.

        Not writes: what becomes of one that is under way is for the driver to say.
        """
        for name in ("get", "head"):
            if name in vars(cls):
                setattr(cls, name, _while_mongodb_answers(vars(cls)[name]))

    async def prepare(self) -> None:
        """Check size, origin and token before the body is read."""
        self._set_cors_headers()
        self.check_body()
        if self.request.method == "OPTIONS":  # which browsers send without a token
            await self.context.rates.address(self.client_ip, Counted.REQUEST)
            return
        self.identity = await self.context.gateway.identify(self.found_token(), self.counted)
        self.discard_bytes, self.goes_on = KNOWN_DISCARD_BYTES, True
        self.check_unread()
        self.expect_body()
        if self.request.method in CHANGING_METHODS:
            self.context.auditor.ensure(self.audit_action)

    @property
    def reader(self) -> str | None:
        """The user, from wherever they ask."""
        identity = getattr(self, "identity", None)
        return super().reader if identity is None else f"user {identity.user_id}"

    @property
    def max_body_bytes(self) -> int:  # type: ignore[override]
        """What the operation takes."""
        described = operation_of(type(self), self.request.method or "")
        takes_body = described is not None and bool(described.body)
        return MAX_BODY_BYTES if takes_body else UNUSED_BODY_BYTES

    @property
    def _body(self) -> bytearray:
        """The body.

        Raises:
            Problem: 413 where it is too large.
            TokenRefused: the token was revoked while the body came in, which may take a minute.
        """
        if self.is_too_large:
            raise self.too_large()
        self.context.gateway.check(self.identity)
        return self.received

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


def _while_mongodb_answers(read: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The same method, which ends with StoreUnavailableError where MongoDB ceases to answer."""

    @functools.wraps(read)
    async def wrapped(self: ApiHandler, *args: Any, **kwargs: Any) -> None:
        async with self.context.answering.required():
            await read(self, *args, **kwargs)

    return wrapped
