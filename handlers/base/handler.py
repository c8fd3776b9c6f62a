"""The handler that all others stand on: problem documents, origins, inputs, the audit record."""

import asyncio
import http
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

import msgspec
import structlog
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream

from handlers.base.context import HandlerContext
from handlers.base.inputs import InputError, read_flat
from handlers.base.operations import operation_of
from handlers.base.problems import PROBLEM_TYPE, Problem, problem_of
from handlers.base.tornado_body import (
    DISCARD_S,
    UNUSED_BODY_BYTES,
    EarlyHandler,
    discard,
    say_the_end,
)
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.outcomes import outcome_of_status
from rtserver.auth.bearer import FoundToken, find_token, offered_subprotocols
from rtserver.auth.client_address import network_of
from rtserver.model import ids
from rtserver.model.errors import ForbiddenError, HiddenError
from rtserver.model.positions import BadPositionError, Position
from rtserver.observe.scrubbing import scrub
from rtserver.reviews.pages import Place
from rtserver.sessions.request_rates import Counted, TooOftenError

CHANGING_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REFUSED = frozenset({401, 403, 429})
METHOD_NOT_ALLOWED = 405
CLIENT_HAS_LEFT = 499
"""For the access log: nobody is there to get it. The number is nginx's."""
TYPICAL_ANSWER_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
HEAD_TOO_LARGE = f"Address and headers may have {MAX_HEAD_BYTES} bytes at most; clear some cookies"
MAX_METHOD_CHARS = 20
SHOWN_ADDRESS_CHARS = 200
"""So much of an address tells which it was; a stranger would fill logs with the rest."""
SOCKJS_SESSION = re.compile(r"(/sockjs/[^/?]+/[^/?]+/)[^/?]+")

T = TypeVar("T", bound=msgspec.Struct)
_log = structlog.get_logger()


def shown_address(uri: str | None) -> str:
    """A request's address for logs and records: cut, and without what nobody may read there.

    That is a token, and the name of a SockJS session: who knows it could take part in the session.
    """
    # Cut last: half a token would not be known for one.
    shown = SOCKJS_SESSION.sub(r"\1[session]", scrub(uri or ""))
    return shown if len(shown) <= SHOWN_ADDRESS_CHARS else f"{shown[:SHOWN_ADDRESS_CHARS]}..."


def head_bytes(request: HTTPServerRequest) -> int:
    """The size of a request's address and headers."""
    headers = request.headers.get_all()
    return len(request.uri or "") + sum(len(name) + len(value) + 4 for name, value in headers)


class BaseHandler(EarlyHandler):
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
        # It is repeated in logs, records and answers; known ones are short.
        method = request.method = (request.method or "")[:MAX_METHOD_CHARS]
        if method == "HEAD" and self.answers_head and method not in self.audit_actions:
            method = "GET"
        self.audit_action = self.audit_actions.get(method, Action.API_CALLED)
        self.path_args = []  # as it stays where the address cannot be decoded
        self.audit_target: str | None = None
        self.audit_details: dict[str, Any] = {}
        self._problem_reason: str | None = None
        self._hidden = False
        self._is_news = True

    async def _execute(self, transforms: Any, *args: bytes, **kwargs: bytes) -> None:
        # What is refused before `prepare` is asked is counted as well.
        parts = (*args, *kwargs.values())
        has_long_head = head_bytes(self.request) > MAX_HEAD_BYTES
        if (
            has_long_head
            or self.request.method not in self.SUPPORTED_METHODS
            or not all(map(_is_text, parts))
        ):
            self._transforms = transforms
            try:
                await self.context.rates.address(self.client_ip, Counted.REQUEST)
                if has_long_head:
                    raise Problem(431, HEAD_TOO_LARGE, "head_too_large")
            except (TooOftenError, Problem):
                self.send_error(exc_info=sys.exc_info())
                self._prepared_future.set_result(None)
                return
        # Not `super`: a handler of the SockJS library would come before Tornado's.
        await web.RequestHandler._execute(self, transforms, *args, **kwargs)  # noqa: SLF001

    async def prepare(self) -> None:
        """See, before the body is read, whether there is a use for it and room for the request.

        Raises:
            TooOftenError: too many come from this address, or what it was sent is not read.
        """
        await self.context.rates.address(self.client_ip, Counted.REQUEST)
        self.check_unread()
        self.check_body()

    def check_body(self) -> None:
        """See whether the body may come in.

        A short one that has no use is read over, for some clients send `{}` with every request.

        Raises:
            web.HTTPError: 405, which says more of a request than that it has a body.
            Problem: 413, it is too large, or there should be none and its length is not said.
        """
        announced_bytes = self.announced_bytes
        if announced_bytes == 0:
            return
        if self.request.method not in (*self._allowed_methods(), "OPTIONS"):
            raise web.HTTPError(METHOD_NOT_ALLOWED)
        if announced_bytes is None:
            is_taken = self.max_body_bytes > 0
        else:
            is_taken = announced_bytes <= max(self.max_body_bytes, UNUSED_BODY_BYTES)
        if not is_taken:
            raise self.too_large()
        self.expect_body()

    @property
    def reader(self) -> str | None:
        """Whose the answer is, where what is not read of answers is counted."""
        return f"address {network_of(self.client_ip)}"

    def check_unread(self, more_bytes: int = TYPICAL_ANSWER_BYTES) -> None:
        """See that there is room for the answer.

        Raises:
            UnreadError: those before it were not read.
        """
        if self.reader is not None:
            self.context.unread.check(self.reader, more_bytes)

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        """Answer, unless what was asked for is more than may wait for this reader.

        Raises:
            UnreadError: it is. What changes something is done by then, and is answered.
        """
        if self.request.method == "GET" and self.get_status() < 400 and not self._headers_written:
            self.check_unread(len(chunk or b"") + sum(map(len, self._write_buffer)))
        return super().finish(chunk)

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        """Send what there is, and note that it is on its way."""
        sending = super().flush(include_footers)
        if self.reader is not None:
            self.context.unread.sent(self.reader, self.request.connection)
        return sending

    def too_large(self) -> Problem:
        """The answer to a body that is too large."""
        limit = self.max_body_bytes
        words = f"A body may have {limit} bytes at most" if limit else "There is no body to be sent"
        return Problem(413, words, "too_large")

    def end(self, stream: IOStream) -> None:
        """End a connection whose client may still be sending, once it can have seen the answer."""
        self.context.tasks.start(_end(stream, self.discard_bytes), name="discard-body")

    def on_finish(self) -> None:
        """Record the request, where it is one to be recorded and nobody did."""
        status = self.get_status()
        changes = self.request.method in CHANGING_METHODS and self.acting.actor is not None
        if self.acting.recorded or not self._is_news or not (changes or self.refuses_act(status)):
            return
        action = self.audit_action
        details: dict[str, Any] = {"status": status, "reason": self._reason_word(status)}
        target = self.audit_target
        if action is Action.API_CALLED:
            details |= {"method": self.request.method, "path": self.acting.path}
        elif target is None and self.path_args:
            target = str(self.path_args[0])
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
        if isinstance(error, TooOftenError):
            self._is_news = error.is_news
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
        # Also where there is none: a cache must not give this answer to a page, which needs the
        # headers below (Fetch standard, "CORS protocol and HTTP caches").
        self.add_header("Vary", "Origin")
        if origin is not None and self.context.origins.listed(origin):
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header(
                "Access-Control-Expose-Headers",
                "ETag, Idempotency-Replayed, Location, Retry-After, Stream-Closed, Stream-Cursor, "
                "Stream-Next-Offset, Stream-Up-To-Date",
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

    def place(self, name: str, text: str | None) -> Place | None:
        """A place in a list, of the query; None where there is none.

        Raises:
            Problem: 400 where no page has given it.
        """
        try:
            return None if text is None else Place.parse(text)
        except ValueError as error:
            raise Problem(400, f"{name}: {error}", "invalid") from None

    def json(self, document: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(document))


def _is_text(part: bytes | None) -> bool:
    try:
        (part or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


async def _end(stream: IOStream, discard_bytes: int) -> None:
    say_the_end(stream)
    try:
        await discard(stream, discard_bytes, DISCARD_S)
    finally:
        stream.close()


class NotFoundHandler(BaseHandler):
    """For every address that there is not."""

    async def prepare(self) -> None:
        """Say so, whatever the method."""
        await self.context.rates.address(self.client_ip, Counted.REQUEST)
        raise self._problem()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Also for a method that Tornado refuses before `prepare`, as it knows none of the name."""
        if status_code == METHOD_NOT_ALLOWED:
            problem = self._problem()
            kwargs["exc_info"] = (Problem, problem, None)
        super().send_error(status_code, **kwargs)

    def _problem(self) -> Problem:
        path = unquote(self.request.path)
        shown = path if len(path) <= 100 else path[:100] + "..."
        return Problem(404, f"There is nothing at {shown!r}", "not_found")
