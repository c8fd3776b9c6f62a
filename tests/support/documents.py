"""What the server's two documents say, held against every frame and answer that a test sees.

The documents leave room for keys of later releases. Here there is none: what they do not name must
not be there.
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from handlers.routes import ASYNCAPI, OPENAPI, http_routes

Frame = Mapping[str, Any]
SOMETIMES = (
    *("ETag", "Idempotency-Replayed", "Retry-After"),
    *("Stream-Up-To-Date", "Stream-Closed", "Stream-Cursor"),
)
"""Response headers that only some answers of a status have."""
_STREAM = "text/event-stream"


class UndocumentedFrameError(AssertionError):
    """A frame is not as asyncapi.json says."""


class UndocumentedAnswerError(AssertionError):
    """An answer is not as openapi.json says."""


@functools.cache
def document(path: str) -> dict[str, Any]:
    """One of the documents, as the server serves it."""
    contents = {
        route.path: route.given["content"]() for route in http_routes({"context": None})[-2:]
    }
    decoded: dict[str, Any] = json.loads(contents[path])
    return decoded


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        result["additionalProperties"] = False
    return result


def _validator(schema: dict[str, Any], path: str) -> jsonschema_rs.Draft202012Validator:
    components = {"schemas": closed(document(path)["components"]["schemas"])}
    return jsonschema_rs.Draft202012Validator(
        {**closed(schema), "components": components}, validate_formats=True
    )


@functools.cache
def _frame_validators(channel: str) -> dict[str, jsonschema_rs.Draft202012Validator]:
    """By type, of the frames that the server sends on a channel; under a dot, a service's own."""
    described = document(ASYNCAPI)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for operation in described["operations"].values():
        if operation["action"] != "send" or not operation["channel"]["$ref"].endswith(channel):
            continue
        for reference in operation["messages"]:
            message = described["components"]["messages"][reference["$ref"].rpartition("/")[2]]
            kind = "." if message["title"] == "ServiceEvent" else message["name"]
            by_type.setdefault(kind, []).append(message["payload"])
    return {kind: _validator({"anyOf": any_of}, ASYNCAPI) for kind, any_of in by_type.items()}


def check_frame(frame: Frame, channel: str = "session") -> None:
    """See that a frame is one that the document has.

    Args:
        frame: as it was received.
        channel: `session`, `sockjs`, `events` or `audit`.

    Raises:
        UndocumentedFrameError: it is not.
    """
    kind = str(frame.get("type"))
    validators = _frame_validators(channel)
    validator = validators.get("." if "." in kind else kind)
    if validator is None:
        raise UndocumentedFrameError(f"{channel} has no message {kind!r}: {frame}")
    fault = next(validator.iter_errors(frame), None)
    if fault is not None:
        raise UndocumentedFrameError(f"{frame} is not as the document says: {fault}")


def check_socket_frame(frame: Frame, path: str) -> None:
    """The same by the path of a WebSocket."""
    check_frame(frame, "audit" if path.startswith("/ws/audit") else "session")


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    paths = document(OPENAPI)["paths"]
    patterns = {path: path.replace("{file_path}", ".+") for path in paths}
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", patterns[path])), path) for path in paths]


@functools.cache
def _answer_validator(
    path: str, method: str, status: str, media_type: str
) -> jsonschema_rs.Draft202012Validator:
    answer = document(OPENAPI)["paths"][path][method]["responses"][status]
    return _validator(answer["content"][media_type]["schema"], OPENAPI)


def check_answer(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """See that an answer is one that the document has, if it is to an operation of it.

    Args:
        method: of the request.
        path: of the request, without the query.
        status: of the response.
        headers: of the response; names are looked up in the document's spelling.
        body: of the response.

    Raises:
        UndocumentedAnswerError: it is not.
    """
    template = next((path_ for pattern, path_ in _paths() if pattern.fullmatch(path)), None)
    item = {} if template is None else document(OPENAPI)["paths"][template]
    operation = item.get(method.lower())
    if operation is None or template is None or status == 500:
        return  # nothing is said of a fault of the server's, which its log tells of
    where = f"{method} {template}: {status}"
    answer = operation["responses"].get(str(status))
    if answer is None:
        raise UndocumentedAnswerError(f"{where} is in no answer of the document: {body!r:.500}")
    for name in answer.get("headers", {}):
        if name not in headers and name not in SOMETIMES:
            raise UndocumentedAnswerError(f"{where} has no header {name}")
    content = answer.get("content")
    if not content:
        if body:
            raise UndocumentedAnswerError(f"{where} should have no body: {body!r:.500}")
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if media_type == _STREAM or (media_type in content and "json" not in media_type):
        return
    if media_type not in content:
        raise UndocumentedAnswerError(f"{where} is {media_type}, not one of {list(content)}")
    answered = json.loads(body)
    if "retry_after_s" in answered and headers.get("Retry-After") != str(answered["retry_after_s"]):
        raise UndocumentedAnswerError(f"{where}: Retry-After is not what the body says")
    validator = _answer_validator(template, method.lower(), str(status), media_type)
    fault = next(validator.iter_errors(answered), None)
    if fault is not None:
        raise UndocumentedAnswerError(f"{where}: {body!r:.2000} is not as described: {fault}")
