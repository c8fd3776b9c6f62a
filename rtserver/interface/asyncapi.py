"""The document of WebSockets, SockJS and event streams (AsyncAPI 3.0), from the typed messages.

It is the server's own view: it `send`s frames and `receive`s commands.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from rtserver.audit.live.messages import (
    AuditGap,
    AuditRecord,
    AuditSocketQuery,
    AuditWelcome,
    FilterAck,
    FilterCommand,
    Pause,
    PauseAck,
    ResumeCommand,
)
from rtserver.interface.event_frames import EVENT_FRAMES, ServiceEvent
from rtserver.lib.json_schemas import Schema, components, fields_of, split_doc
from rtserver.model import field_types
from rtserver.model.version import VERSION
from rtserver.presence.messages import Presence
from rtserver.runs.messages import (
    CancelAck,
    CancelIteration,
    CancelValidation,
    StartedAck,
    StartIteration,
    StartValidation,
)
from rtserver.sessions.client_messages import (
    Command,
    Hello,
    RefreshToken,
    Replay,
    SessionQuery,
    View,
    type_of,
)
from rtserver.sessions.publishing import Publish, PublishAck
from rtserver.sessions.server_frames import (
    ClosingFrame,
    ErrorFrame,
    Gap,
    PositionFrame,
    RefreshAck,
    ReplayAck,
    ViewAck,
    Welcome,
)

Messages = tuple[type[msgspec.Struct], ...]

STORED: Messages = (*EVENT_FRAMES, ServiceEvent)
REPLIES: dict[str, type[msgspec.Struct]] = {
    "view": ViewAck,
    "start_validation": StartedAck,
    "start_iteration": StartedAck,
    "cancel_validation": CancelAck,
    "cancel_iteration": CancelAck,
    "publish": PublishAck,
    "refresh_token": RefreshAck,
    "replay": ReplayAck,
    "filter": FilterAck,
    "pause": PauseAck,
    "resume": PauseAck,
}
"""By command, what its `ack` says."""

COMMON: Messages = (ErrorFrame, ClosingFrame)
SESSION: Messages = (Welcome, Gap, Presence, *COMMON)
PROJECT_COMMANDS: tuple[type[Command], ...] = (
    View,
    StartValidation,
    CancelValidation,
    StartIteration,
    CancelIteration,
    Publish,
    RefreshToken,
    Replay,
)
AUDIT_COMMANDS: tuple[type[Command], ...] = (
    FilterCommand,
    Pause,
    ResumeCommand,
    RefreshToken,
    Replay,
)

DESCRIPTION = """\
One session protocol over three transports. A frame is a JSON object with a `type`; a receiver
ignores keys and types that it does not know. Stored events have an `id`, with which a client
resumes, on whichever transport. The HTTP interface is described by `/api/v1/openapi.json`."""

SECURITY = [
    {"$ref": "#/components/securitySchemes/bearer"},
    {"$ref": "#/components/securitySchemes/query"},
]


def document() -> Schema:
    """The document."""
    acks = _acks(PROJECT_COMMANDS)
    session: Messages = (*SESSION, PositionFrame, *acks, *STORED)
    audit: Messages = (
        AuditWelcome,
        AuditGap,
        PositionFrame,
        *COMMON,
        *_acks(AUDIT_COMMANDS),
        AuditRecord,
    )
    stream: Messages = (Welcome, Gap, Presence, ClosingFrame, *STORED)
    every: dict[type[msgspec.Struct], None] = dict.fromkeys(
        (*session, *audit, *stream, *PROJECT_COMMANDS, *AUDIT_COMMANDS, Hello)
    )
    _, schemas = components(every)
    channels = {
        "session": _channel(
            "/ws/projects/{project_id}",
            "A project's session, as a WebSocket. A token may also come as the subprotocols "
            "`bearer, TOKEN`.",
            (*session, *PROJECT_COMMANDS),
            bindings={"ws": {"method": "GET", "query": _query(SessionQuery)}},
            parameters={"project_id": _parameter(field_types.ProjectId)},
        ),
        "sockjs": _channel(
            "/sockjs/projects",
            "The same session over SockJS. The first message is a `hello`, within 10 s.",
            (*session, Hello, *PROJECT_COMMANDS),
        ),
        "events": _channel(
            "/api/v1/proposals/{proposal_id}/events",
            "What a viewer of a proposal sees, as Server-Sent Events: `event` is the frame's "
            "type, `data` the frame, `id` its id. A block with `id` alone stands for `position`.",
            stream,
            bindings={"http": {}},
            parameters={"proposal_id": _parameter(field_types.ProposalId)},
        ),
        "audit": _channel(
            "/ws/audit",
            "The audit log as it is written, for the role admin.",
            (*audit, *AUDIT_COMMANDS),
            bindings={"ws": {"method": "GET", "query": _query(AuditSocketQuery)}},
        ),
    }
    operations: dict[str, Schema] = {
        "sendSession": _sends("session", session),
        "sendSockjs": _sends("sockjs", session),
        "sendEvents": _sends("events", stream),
        "sendAudit": _sends("audit", audit),
        "receiveSockjsHello": _receives("sockjs", Hello, (Welcome, ClosingFrame)),
    }
    for channel, commands in (
        ("session", PROJECT_COMMANDS),
        ("sockjs", PROJECT_COMMANDS),
        ("audit", AUDIT_COMMANDS),
    ):
        for command in commands:
            replies = (REPLIES[type_of(command)], ErrorFrame)
            name = f"receive{channel.title()}{command.__name__}"
            operations[name] = _receives(channel, command, replies)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "rtserver", "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "websocket": _server("ws", "WebSockets; wss behind a proxy that ends TLS"),
            "http": _server("http", "Event streams and SockJS; https behind such a proxy"),
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": {kind.__name__: _message(kind) for kind in every},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "httpApiKey", "in": "query", "name": "token"},
            },
        },
    }


def _acks(commands: Iterable[type[Command]]) -> Messages:
    return tuple(dict.fromkeys(REPLIES[type_of(command)] for command in commands))


def _server(protocol: str, description: str) -> Schema:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": "127.0.0.1:8000"}},
        "security": SECURITY,
    }


def _message(kind: type[msgspec.Struct]) -> Schema:
    summary, _ = split_doc(kind.__doc__)
    tag = kind.__struct_config__.tag
    return {
        "name": kind.__name__ if tag is None else str(tag),
        "title": kind.__name__,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _channel(
    address: str, description: str, messages: Iterable[type[msgspec.Struct]], **more: Any
) -> Schema:
    server = "websocket" if address.startswith("/ws/") else "http"
    return {
        "address": address,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {
            kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in messages
        },
        **more,
    }


def _within(channel: str, messages: Sequence[type[msgspec.Struct]]) -> list[Schema]:
    return [{"$ref": f"#/channels/{channel}/messages/{kind.__name__}"} for kind in messages]


def _sends(channel: str, messages: Sequence[type[msgspec.Struct]]) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": _within(channel, messages),
    }


def _receives(
    channel: str, message: type[msgspec.Struct], replies: Sequence[type[msgspec.Struct]]
) -> Schema:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": split_doc(message.__doc__)[0],
        "messages": _within(channel, [message]),
        "reply": {
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": _within(channel, replies),
        },
    }


def _parameter(kind: Any) -> Schema:
    schema = components([kind])[0][0]
    return {"description": schema["description"], "examples": schema["examples"]}


def _query(kind: type[msgspec.Struct]) -> Schema:
    return {
        "type": "object",
        "properties": {name: schema for name, schema, _ in fields_of(kind)},
    }
