"""What all handlers share: errors as problem documents, origins, identity, bounded bodies."""

import asyncio
import contextlib
import http
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

import msgspec
import structlog
from tornado import web

from handlers.base.context import HandlerContext
from handlers.base.inputs import InputError, read_flat
from handlers.base.metrics import HttpMetrics
from handlers.base.operations import operation_of
from handlers.base.problems import PROBLEM_TYPE, Problem, problem_of
from handlers.base.tornado_body import expect_body, reading_on
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.outcomes import outcome_of_status
from rtserver.auth.bearer import FoundToken, find_token, offered_subprotocols
from rtserver.lib.decode_errors import complaint, why_not_json
from rtserver.model import ids
from rtserver.model.errors import ForbiddenError, HiddenError, RefusedError, StoreUnavailableError
from rtserver.model.identity import Identity
from rtserver.model.positions import BadPositionError, Position
from rtserver.observe.scrubbing import scrub

MAX_BODY_BYTES = 4 * 1024 * 1024
DISCARD_BYTES = 64 * 1024 * 1024
"""Of a body whose length is not announced, so much is read and thrown away beyond its bound. One
that is announced is read over for as long as the server lets a body take."""
MAX_LENGTH_DIGITS = 18
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REFUSED = frozenset({401, 403, 429})
METHOD_NOT_ALLOWED = 405
CLIENT_HAS_LEFT = 499
"""For the access log: nobody is there to get it. The number is nginx's."""
SOCKJS_SESSION = re.compile(r"(/sockjs/[^/?]+/[^/?]+/)[^/?]+")

T = TypeVar("T", bound=msgspec.Struct)
_log = structlog.get_logger()


def shown_address(uri: str | None) -> str:
    """A request's address for the log: without a token, and without the name of a SockJS session.

    Whoever knows that name can take part in the session.
    """
    return SOCKJS_SESSION.sub(r"\1[session]", scrub(uri or ""))


class BaseHandler(web.RequestHandler):
    """A handler whose errors are problem documents and whose logs carry no token.

    A request that would change something, or that is refused, is recorded in the audit log when it
    is answered, unless the core made a record of it by then. Where reading is an act too, such as a
    connection, it is named in `audit_actions`, and recorded where it fails in any way.

    Attributes:
        audit_actions: by method, what such a record says was done. `api.called` for the others.
        audit_action: the one of this request; handlers may know better.
        acting: on whose behalf the request is; handlers note the project that it concerns.
        audit_target: what it is done to; the first part of the address unless a handler says.
        audit_details: further details of the record.
        answers_head: whether HEAD is answered wherever GET is.
    """

    audit_actions: ClassVar[Mapping[str, Action]] = {}
    answers_head: ClassVar[bool] = True
    context: HandlerContext

    def initialize(self, context: HandlerContext) -> None:
        """Take what the composition root gives."""
        self.context = context
        request = self.request
        self.client_ip = context.addresses.find(
            request.remote_ip or "", request.headers.get_list("X-Forwarded-For")
        )
        path = shown_address(unquote(request.path))
        self.acting = context.auditor.act(Acting(ip=self.client_ip, path=path))
        method = request.method or ""
        if method == "HEAD" and self.answers_head and method not in self.audit_actions:
            method = "GET"
        self.audit_action = self.audit_actions.get(method, Action.API_CALLED)
        self.audit_target: str | None = None
        self.audit_details: dict[str, Any] = {}
        self._problem_reason: str | None = None
        self._hidden = False

    def on_finish(self) -> None:
        """Record the request, where it is one to be recorded and nobody did."""
        status = self.get_status()
        changes = self.request.method in CHANGING and self.acting.actor is not None
        if self.acting.recorded or not (changes or self.refuses_act(status)):
            return
        action = self.audit_action
        details: dict[str, Any] = {"status": status, "reason": self._reason_word(status)}
        target = self.audit_target
        if action is Action.API_CALLED:
            details |= {"method": self.request.method, "path": self.acting.path}
        elif target is None and (path_args := getattr(self, "path_args", None)):
            target = str(path_args[0])  # there are none where the address could not be decoded
        self.context.auditor.record(
            action,
            Outcome.DENIED if self._hidden else outcome_of_status(status, self._problem_reason),
            target=target,
            by=self.acting,
            **{**details, **self.audit_details},
        )

    def refuses_act(self, status: int) -> bool:
        """Whether an answer refuses what would be recorded if it were done."""
        if status in (METHOD_NOT_ALLOWED, CLIENT_HAS_LEFT):
            return False  # there is no such act; nobody refused anything
        return (
            self._hidden
            or status in REFUSED
            or (status >= 400 and self.audit_action is not Action.API_CALLED)
        )

    def _reason_word(self, status: int) -> str | None:
        if self._hidden:
            return ForbiddenError.reason
        if self._problem_reason is None and status >= 400:
            return http.HTTPStatus(status).name.lower()
        return self._problem_reason

    def set_default_headers(self) -> None:
        """No sniffing, no referrer: an address may carry a token until the page has moved it."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.clear_header("Server")

    def _request_summary(self) -> str:
        request = self.request
        return f"{request.method} {shown_address(request.uri)} ({request.remote_ip})"

    def found_token(self) -> FoundToken | None:
        """The token of the request, wherever it travels."""
        headers = self.request.headers
        query = self.request.query_arguments.get("token")
        return find_token(
            authorization=headers.get("Authorization"),
            subprotocols=offered_subprotocols(headers.get("Sec-WebSocket-Protocol")),
            query=query[-1].decode("utf-8", "replace") if query else None,
        )

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Errors that are answers are no news; all others are logged with their traceback."""
        if value is not None and problem_of(value) is None and not isinstance(value, web.HTTPError):
            _log.error("request_failed", request=self._request_summary(), exc_info=(typ, value, tb))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Give errors of the core their status."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = None if error is None else problem_of(error)
        if isinstance(error, HiddenError):  # the asker hears that it is not there
            self._hidden = True
            self.acting.project_id = error.project_id
            self.audit_target = self.audit_target or str(self.path_args[0])
        if problem is not None:
            self._problem_reason = problem.reason_word
            kwargs["exc_info"] = (type(problem), problem, None)
            status_code = problem.status_code
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a problem document."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": http.HTTPStatus(status_code).phrase,
            "status": status_code,
        }
        if isinstance(error, Problem):
            document["detail"] = error.detail
            if error.reason_word is not None:
                document["reason"] = error.reason_word
            retry_after_s = error.extra.get("retry_after_s")
            if retry_after_s is not None:
                self.set_header("Retry-After", str(retry_after_s))
            for name, value in error.headers.items():
                self.set_header(name, value)
            document.update(error.extra)
        elif status_code == 500:
            document["detail"] = "The server failed to answer this; try again"
        elif status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(self._allowed_methods())
            document["detail"] = f"{self.request.method} is not possible here; {allowed} are"
            self.set_header("Allow", allowed)
        else:
            document["detail"] = http.HTTPStatus(status_code).description
        self._set_cors_headers()
        if status_code == http.HTTPStatus.UNAUTHORIZED:
            # RFC 6750 section 3: the error only where there was a token
            was_sent = document.get("reason") != "missing"
            why = ', error="invalid_token"' if was_sent else ""
            self.set_header("WWW-Authenticate", f'Bearer realm="rtserver"{why}')
        self.set_header("Content-Type", PROBLEM_TYPE)
        self.finish(json.dumps(document))

    def head(self, *args: Any, **kwargs: Any) -> Any:
        """Answer as `get` does; Tornado leaves the body out (RFC 9110 section 9.3.2)."""
        if "HEAD" not in self._allowed_methods():
            raise web.HTTPError(http.HTTPStatus.METHOD_NOT_ALLOWED)
        return self.get(*args, **kwargs)

    def _allowed_methods(self) -> list[str]:
        standard = web.RequestHandler
        allowed = [
            method
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
            if getattr(type(self), method.lower()) is not getattr(standard, method.lower())
        ]
        if "GET" in allowed and self.answers_head:
            allowed.append("HEAD")
        return sorted(allowed)

    def _set_cors_headers(self) -> None:
        origin = self.request.headers.get("Origin")
        self.add_header("Vary", "Origin")
        if origin is not None and self.context.origins.listed(origin):
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header(
                "Access-Control-Expose-Headers",
                "ETag, Idempotency-Replayed, Location, Retry-After",
            )

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode a part of the path or query.

        Raises:
            Problem: 400 where it is not UTF-8.
        """
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            where = "The address" if name is None else f"The parameter {name!r}"
            raise Problem(400, f"{where} is not UTF-8") from None

    def project_id(self, text: str) -> str:
        """A project id of the path, checked."""
        return ids.project_id(text)

    def query(self, kind: type[T]) -> T:
        """The query's parameters, of the type that the operation names.

        Raises:
            Problem: 400 where one of them cannot be used.
        """
        self._check_declared(kind, "query")
        return self.read_query(kind)

    def read_query(self, kind: type[T]) -> T:
        """The same for an address that is no operation of the HTTP interface."""
        arguments = self.request.query_arguments
        return self._read(
            kind,
            lambda name: [self.decode_argument(text, name) for text in arguments.get(name, ())],
        )

    def sent_headers(self, kind: type[T]) -> T:
        """The headers that count, of the type that the operation names.

        Raises:
            Problem: 400 where one of them cannot be used.
        """
        self._check_declared(kind, "headers")
        return self._read(kind, self.request.headers.get_list)

    def _check_declared(self, kind: type[msgspec.Struct], what: str) -> None:
        """Hold a handler to what the interface's document says that it takes."""
        declared = getattr(operation_of(type(self), self.request.method or ""), what, None)
        if declared is not kind and not (isinstance(declared, tuple) and kind in declared):
            raise TypeError(f"{type(self).__name__} does not declare {kind.__name__} as its {what}")

    def _read(self, kind: type[T], texts_of: Callable[[str], Sequence[str]]) -> T:
        try:
            return read_flat(kind, texts_of)
        except InputError as error:
            raise Problem(400, str(error), "invalid") from None

    def position(self, name: str, text: str | None) -> Position | None:
        """A position of the query; None where there is none.

        Raises:
            Problem: 400 where it does not have the form of one.
        """
        try:
            return None if text is None else Position.parse(text)
        except BadPositionError as error:
            raise Problem(400, f"{name}: {error}", "invalid") from None

    def json(self, document: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(document))


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
        if self.request.method in CHANGING:
            self.context.auditor.ensure(self.audit_action)

    def _announced_bytes(self) -> int:
        """The length that the request says; what is none is Tornado's to refuse."""
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


class NotFoundHandler(BaseHandler):
    """For every address that there is not."""

    def prepare(self) -> None:
        """Say so, whatever the method."""
        path = unquote(self.request.path)
        shown = path if len(path) <= 100 else path[:100] + "..."
        raise Problem(404, f"There is nothing at {shown!r}", "not_found")

    def check_xsrf_cookie(self) -> None:
        """No cookies are used."""


def access_log(metrics: HttpMetrics) -> Any:
    """A `log_function` for Tornado: one line a request, without tokens."""

    def log_request(handler: web.RequestHandler) -> None:
        status = handler.get_status()
        metrics.http_request(handler.request.method or "", status)
        log = _log.warning if status >= 500 else _log.info
        log(
            "http_request",
            method=handler.request.method,
            path=shown_address(handler.request.uri),
            status=status,
            duration_ms=round(handler.request.request_time() * 1000, 1),
            ip=getattr(handler, "client_ip", handler.request.remote_ip),
        )

    return log_request
