"""The document of the HTTP interface (OpenAPI 3.1), made of the route table.

What it says of an address stands beside the handler, as `handlers.base.operations.operation`, and
is what the handler reads requests with.
"""

import http
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

from handlers.base.operations import JSON, METHODS, Answer, Operation, operation_of
from handlers.base.problems import PROBLEM_TYPE, ProblemJson
from handlers.interface.route import Route
from rtserver.lib.json_schemas import REF, Schema, components, fields_of, split_doc
from rtserver.model import field_types
from rtserver.model.version import VERSION

PARAMETERS: dict[str, Any] = {
    "project_id": field_types.ProjectId,
    "proposal_id": field_types.ProposalId,
    "run_id": field_types.RunId,
    "comment_id": field_types.CommentId,
    "connection_id": field_types.ConnectionId,
    "user_id": field_types.UserId,
    "revision": Annotated[
        str,
        msgspec.Meta(
            description="The number of a revision, or `current` for the newest",
            examples=["current"],
            extra_json_schema={"pattern": "^([1-9][0-9]{0,8}|current)$"},
        ),
    ],
    "file_path": Annotated[
        str,
        msgspec.Meta(
            description="The path of a file in the proposal's folder, with its slashes",
            examples=["specs/loans/spec.md"],
        ),
    ],
}
"""What stands in braces in paths."""

HEADERS: dict[str, Schema] = {
    "ETag": {
        "description": "Names this state of what was asked for",
        "schema": {"type": "string", "examples": ['"3"']},
    },
    "Location": {
        "description": "Where what was made is found",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Idempotency-Replayed": {
        "description": "The request was carried out before; this is the answer of then",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Stream-Next-Offset": {
        "description": "Where to read on from (Durable Streams protocol)",
        "schema": {"type": "string"},
    },
    "Stream-Up-To-Date": {
        "description": "This was all that there was",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Stream-Closed": {
        "description": "This was the end: nothing follows",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Stream-Cursor": {
        "description": "To be sent back as `cursor` with the next live read",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "Retry-After": {
        "description": "When to try again, in seconds",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "That a bearer token is wanted (RFC 6750)",
        "schema": {"type": "string"},
    },
}
PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}
SECURITY_SCHEMES: dict[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JSON Web Token with `sub`, `exp`, `projects` and `roles`",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same, for clients that cannot set headers",
    },
}
DESCRIPTION = """\
Errors are problem documents (RFC 9457). HEAD is answered wherever GET is, OPTIONS wherever a token
is needed; other methods get 405 with `Allow`. A body has 4 MiB at most, and is read as JSON
whatever its Content-Type says. What happens is told as it happens over WebSocket, Server-Sent
Events and SockJS: see `/api/v1/asyncapi.json`."""


class UndocumentedError(Exception):
    """A route has a method of which nothing is said."""


def document(routes: Iterable[Route]) -> Schema:
    """The document.

    Args:
        routes: the addresses that are operations of the HTTP interface.

    Raises:
        UndocumentedError: a method of one of them is no operation.
    """
    found = [(route, *operation) for route in routes for operation in operations_of(route)]
    schemas = _Schemas(found)
    paths: dict[str, Schema] = {}
    for route, method, operation in found:
        item = paths.setdefault(route.template, _path_item(route, schemas))
        item[method.lower()] = _operation(route, method, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtserver",
            "version": VERSION,
            "summary": "State, history and commands of projects under review",
            "description": DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def operations_of(route: Route) -> Iterator[tuple[str, Operation]]:
    """The methods of an address, with what is said of them.

    Raises:
        UndocumentedError: nothing is said of one.
    """
    for method in METHODS:
        handler = getattr(route.handler, method.lower())
        if handler.__qualname__.startswith("RequestHandler."):
            continue  # Tornado's own, which answers 405
        described = operation_of(route.handler, method)
        if described is None:
            raise UndocumentedError(f"{method} {route.path}")
        yield method, described


class _Schemas:
    """The schemas of all types that the document has, made at once so that they share names."""

    def __init__(self, found: Iterable[tuple[Route, str, Operation]]) -> None:
        kinds: list[Any] = [ProblemJson, *PARAMETERS.values()]
        for _, _, operation in found:
            kinds += operation.body
            for answer in operation.answers.values():
                kinds += answer.kinds
        self._kinds = kinds
        self._schemas, self.named = components(kinds)

    def of(self, *kinds: Any) -> Schema:
        """The schema of one of these types."""
        schemas = [self._schemas[self._kinds.index(kind)] for kind in kinds]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _path_item(route: Route, schemas: _Schemas) -> Schema:
    if not route.parameters:
        return {}
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": schemas.of(PARAMETERS[name]),
            }
            for name in route.parameters
        ]
    }


def _operation(route: Route, method: str, operation: Operation, schemas: _Schemas) -> Schema:
    summary, more = split_doc(getattr(route.handler, method.lower()).__doc__)
    shown: Schema = {
        "operationId": operation.name,
        "tags": [_tag(route)],
        "summary": summary,
    }
    if operation.roles:
        more = f"{more}\n\nFor the role {' or '.join(operation.roles)}.".strip()
    if more:
        shown["description"] = more
    parameters = [
        *_flat(operation.query, "query"),
        *_flat(operation.headers, "header"),
    ]
    if parameters:
        shown["parameters"] = parameters
    if operation.body:
        shown["requestBody"] = {
            "required": operation.body_required,
            "content": {JSON: {"schema": schemas.of(*operation.body)}},
        }
    shown["responses"] = {
        str(status): (
            _answer(operation.answers[status], schemas)
            if status in operation.answers
            else _problem(status)
        )
        for status in sorted(operation.statuses)
    }
    # The scopes of a scheme that has none are the roles that are needed (OpenAPI 3.1).
    shown["security"] = (
        [{name: list(operation.roles)} for name in SECURITY_SCHEMES]
        if operation.needs_token
        else []
    )
    return shown


def _tag(route: Route) -> str:
    parts = route.path.removeprefix("/api/v1").strip("/").split("/")
    return parts[0].partition(".")[0] if route.path.startswith("/api/") else "operation"


def _flat(kind: type[msgspec.Struct] | None, place: str) -> Iterator[Schema]:
    for name, schema, required in () if kind is None else fields_of(kind):
        field = {key: value for key, value in schema.items() if key != "description"}
        parameter: Schema = {"name": name, "in": place, "required": required, "schema": field}
        if schema.get("description"):
            parameter["description"] = schema["description"]
        if field.get("type") == "array":
            parameter |= {"style": "form" if place == "query" else "simple", "explode": True}
            if place == "header":
                parameter["explode"] = False
        yield parameter


def _answer(answer: Answer, schemas: _Schemas) -> Schema:
    shown: Schema = {"description": answer.description}
    if answer.headers:
        shown["headers"] = _headers(answer.headers)
    if answer.kinds:
        schema = schemas.of(*answer.kinds)
        shown["content"] = {name: {"schema": schema} for name in answer.media_types}
    return shown


def _problem(status: int) -> Schema:
    shown: Schema = {"description": http.HTTPStatus(status).phrase}
    if status in PROBLEM_HEADERS:
        shown["headers"] = _headers(PROBLEM_HEADERS[status])
    shown["content"] = {PROBLEM_TYPE: {"schema": {"$ref": f"{REF}Problem"}}}
    return shown


def _headers(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
