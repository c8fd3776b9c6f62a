"""Messages of webhooks: what is posted, and how it is signed, by Standard Webhooks 1.0.0."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from rtserver.model.events import StoredEvent

GAP_TYPE = "webhook.gap"


class _Timed(msgspec.Struct):
    ts: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Timed).decode


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """What an endpoint is told. Every attempt has the same id and body.

    Attributes:
        id: of the message: the same on every worker and after every restart.
        body: JSON with `type`, `timestamp` and `data`.
        at_s: when the event was made (Unix time).
    """

    id: str
    body: bytes
    at_s: float


@dataclass(frozen=True, slots=True)
class LogGap:
    """Events that an endpoint can't be told of any more.

    Attributes:
        project_id: whose.
        reason: `overwritten` or `log_lost`.
        after: the last event before them that was dealt with, as a position.
        before: where it goes on.
        ts: when that was found (RFC 3339).
    """

    project_id: str
    reason: str
    after: str
    before: str
    ts: str


def message_of(endpoint_id: str, event: StoredEvent) -> WebhookMessage:
    """The message that tells an endpoint of an event; its `data` is the event's frame."""
    return _message(
        _id_of(endpoint_id, event.project_id, event.id),
        event.type,
        _decode(event.payload).ts,
        event.payload,
    )


def message_of_gap(endpoint_id: str, gap: LogGap) -> WebhookMessage:
    """The message that tells an endpoint of events that it missed."""
    data = {
        "project_id": gap.project_id,
        "reason": gap.reason,
        "after": gap.after,
        "before": gap.before,
    }
    name = _id_of(endpoint_id, gap.project_id, f"gap {gap.after} {gap.before}")
    return _message(name, GAP_TYPE, gap.ts, _encode(data))


def signed_headers(
    message_id: str, body: bytes, secrets: Sequence[bytes], *, at_s: float
) -> dict[str, str]:
    """The headers of one attempt.

    Args:
        message_id: of the message.
        body: exactly what is sent.
        secrets: one signature is made with each.
        at_s: when the attempt is made (Unix time).
    """
    timestamp = str(int(at_s))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = [
        base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _id_of(*parts: str) -> str:
    # No full stop may be in it: it parts what is signed.
    return "msg_" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _message(name: str, type_: str, ts: str, data: bytes) -> WebhookMessage:
    body = b'{"type":%b,"timestamp":%b,"data":%b}' % (_encode(type_), _encode(ts), data)
    return WebhookMessage(name, body, datetime.fromisoformat(ts).timestamp())
