"""`rtserver.webhooks.message`, verified by the reference library of Standard Webhooks."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from rtserver.webhooks.message import LogGap, message_of, message_of_gap, signed_headers
from tests.support.fakes import draft, stored

OLD, NEW = b"o" * 24, b"n" * 32
GAP = LogGap("p1", "overwritten", "abcd-3", "abcd-9", "2026-01-31T14:00:00.000Z")


def _receiver(secret: bytes) -> Webhook:
    return Webhook("whsec_" + base64.b64encode(secret).decode())


def test_a_receiver_with_either_secret_verifies_it() -> None:
    (event,) = stored(draft(n="é"))
    message = message_of("ci", event)
    headers = signed_headers(message.id, message.body, [NEW, OLD], at_s=time.time())
    for secret in (OLD, NEW):
        told = _receiver(secret).verify(message.body, headers)
        assert told["type"] == event.type
        assert told["timestamp"] == event.frame()["ts"]
        assert told["data"] == event.frame()
    with pytest.raises(WebhookVerificationError):
        _receiver(b"x" * 24).verify(message.body, headers)
    with pytest.raises(WebhookVerificationError):
        _receiver(NEW).verify(message.body + b" ", headers)


def test_an_id_names_one_event_for_one_endpoint() -> None:
    first, second = stored(draft(), draft())
    (elsewhere,) = stored(draft("p2"))
    ids = [message_of("ci", first).id, message_of("ci", second).id]
    ids += [message_of("other", first).id, message_of("ci", elsewhere).id]
    ids.append(message_of_gap("ci", GAP).id)
    assert len(set(ids)) == len(ids)
    assert "." not in "".join(ids)
    assert message_of("ci", first) == message_of("ci", first)


def test_a_gap_says_between_which_places_it_is() -> None:
    told = json.loads(message_of_gap("ci", GAP).body)
    assert told["type"] == "webhook.gap"
    assert told["data"] == {
        "project_id": "p1",
        "reason": "overwritten",
        "after": "abcd-3",
        "before": "abcd-9",
    }
