import json
from typing import Any

import pytest

from rtserver.audit.record.actions import Action
from rtserver.audit.record.chain import Chain, Head, Unsealed, details_json, hash_of
from rtserver.audit.verify.seal import (
    SealBrokenError,
    claim_of,
    claims_of,
    place_of,
    read_line,
    read_sealed,
    usage_of,
)
from rtserver.model.positions import Position

DIGEST = "a" * 64


def sealed(action: str = "lock.acquired", **details: Any) -> bytes:
    """A record as a worker seals it."""
    record = Unsealed(
        action=action,
        details=details_json(details),
        outcome="allowed",
        ts="2026-01-31T14:00:00.000Z",
        worker="w1",
    )
    return Chain("w1").seal(record).encode()


def test_what_was_sealed_is_read() -> None:
    body = sealed(words="R\u00e9sum\u00e9")
    record = read_sealed(body)
    assert (record.n, record.worker, record.action) == (1, "w1", "lock.acquired")
    assert record.hash == hash_of(json.loads(body))


def test_no_byte_can_be_changed() -> None:
    body = sealed(words="held")
    for position in range(len(body)):
        changed = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
        with pytest.raises(SealBrokenError):
            read_sealed(changed)


def test_the_same_content_written_in_another_way_is_not_what_was_sealed() -> None:
    body = sealed(words="held")
    with pytest.raises(SealBrokenError):
        read_sealed(json.dumps(json.loads(body)).encode())


def test_a_line_begins_with_the_place_of_its_record() -> None:
    body = sealed()
    position, rest = read_line(b'{"id":"e0e0-17",' + body[1:])
    assert (position, rest) == (Position("e0e0", 17), body)
    for line in (body, b"", b"{}", b'{"id":"e0e0-17"}'):
        with pytest.raises(SealBrokenError):
            read_line(line)


def test_a_broken_record_may_still_say_where_it_belongs() -> None:
    body = sealed(words="held")
    changed = body.replace(b"held", b"gone")
    place = place_of(changed)
    assert place is not None
    assert place.n == 1
    assert place_of(b"no record") is None
    assert place_of(body.replace(b'"hash":"', b'"hash":"x')) is None


def test_an_anchor_states_where_chains_stand_and_what_the_buffer_holds() -> None:
    heads = [
        {"chain": "w2", "n": 7, "hash": DIGEST, "id": "e0e0-9"},
        {"chain": "w3", "n": 2, "hash": DIGEST, "ended": True},
        {"chain": "w4", "n": 0, "hash": DIGEST},
        {"chain": "w5", "n": 1, "hash": "no hash"},
    ]
    usage = {"oldest": 3, "bytes": 100, "capacity_bytes": 1000}
    record = read_sealed(sealed(Action.AUDIT_ANCHORED.value, heads=heads, log=usage))
    first, second = claims_of(record)
    assert (first.chain, first.n, first.position, first.ended) == (
        "w2",
        7,
        Position("e0e0", 9),
        False,
    )
    assert (second.chain, second.position, second.ended) == ("w3", None, True)
    assert first.by_chain == record.chain
    assert usage_of(record) == (3, 100, 1000)


def test_other_records_state_nothing_of_chains() -> None:
    record = read_sealed(sealed(heads=[{"chain": "w2", "n": 7, "hash": DIGEST}]))
    assert list(claims_of(record)) == []
    assert usage_of(record) is None
    odd = read_sealed(sealed(Action.AUDIT_ANCHORED.value, heads="of another version"))
    assert list(claims_of(odd)) == []
    assert usage_of(odd) is None


def test_a_lost_worker_is_stated_with_its_chain() -> None:
    record = read_sealed(sealed(Action.WORKER_LOST.value, chain="w2", n=3, hash=DIGEST))
    (claim,) = claims_of(record)
    assert (claim.chain, claim.n) == ("w2", 3)


def test_a_chain_without_records_is_no_claim() -> None:
    assert claim_of("w2", Head(0, DIGEST), "the registry") is None
    claim = claim_of("w2", Head(3, DIGEST, "e0e0-4"), "the registry")
    assert claim is not None
    assert claim.position == Position("e0e0", 4)
