import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.audit.record.chain import (
    GENESIS,
    MAX_TEXT_CHARS,
    Chain,
    Unsealed,
    canonical,
    details_json,
    hash_of,
    plain,
    sealed_action,
    sealed_hash,
    text,
)


def _record(actor: str = "ada", details: dict[str, Any] | None = None) -> Unsealed:
    return Unsealed(
        action="lock.acquired",
        actor=actor,
        outcome="allowed",
        details=details_json(details or {}),
        ts="2026-01-31T15:00:00.000Z",
        worker="w1",
    )


def test_the_fields_stand_in_the_order_that_is_hashed() -> None:
    assert list(Unsealed.__struct_fields__) == sorted(Unsealed.__struct_fields__)


def test_a_record_carries_its_chain_its_number_and_the_hash_before() -> None:
    chain = Chain("w1")
    first = json.loads(chain.seal(_record()))
    second = json.loads(chain.seal(_record(actor="ben")))
    assert (first["n"], second["n"]) == (1, 2)
    assert first["chain"] == second["chain"] == chain.name
    assert first["prev"] == GENESIS
    assert second["prev"] == first["hash"]
    assert (chain.n, chain.hash) == (2, second["hash"])


def test_chains_of_one_worker_id_have_different_names() -> None:
    assert Chain("w1").name != Chain("w1").name


def test_the_hash_is_what_anybody_can_compute_with_the_standard_library() -> None:
    record = json.loads(Chain("w1").seal(_record(details={"b": 1, "a": [True, None, "ü\n"]})))
    stated = record.pop("hash")
    form = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(form.encode()).hexdigest() == stated


def test_the_id_that_is_given_later_is_no_part_of_the_hash() -> None:
    record = json.loads(Chain("w1").seal(_record()))
    assert hash_of({**record, "id": "e0e0-17"}) == record["hash"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_reading_a_sealed_record_back_gives_the_same_hash(value: Any) -> None:
    body = Chain("w1").seal(_record(details={"value": value}))
    record = json.loads(body)
    assert hash_of(record) == record["hash"] == sealed_hash(body)
    assert sealed_action(body) == "lock.acquired"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (2**60, str(2**60)),
        (True, True),
        ({1: {"x"}}, {"1": ["x"]}),
        (("a", "b"), ["a", "b"]),
        ("half \ud83d", "half ?"),
    ],
)
def test_what_has_several_spellings_becomes_text(value: object, expected: object) -> None:
    assert plain(value) == expected
    canonical({"value": plain(value)})


def test_long_texts_are_cut() -> None:
    assert len(text("x" * 10_000)) == MAX_TEXT_CHARS + 3


def test_nesting_is_bounded() -> None:
    value: object = "end"
    for _ in range(50):
        value = [value]
    form = plain(value)
    canonical({"value": form})
    depth = 0
    while isinstance(form, list):
        (form,) = form
        depth += 1
    assert depth == 6
    assert isinstance(form, str), "what is deeper is text"
