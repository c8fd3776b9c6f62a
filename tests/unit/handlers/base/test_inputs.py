from typing import Annotated

import msgspec
import pytest

from handlers.base.inputs import InputError, read_flat


class _Query(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None
    type: Annotated[list[str], msgspec.Meta(max_length=2)] = []
    key: Annotated[str, msgspec.Meta(max_length=3)] | None = msgspec.field(
        name="Idempotency-Key", default=None
    )


def _read(**given: list[str]) -> _Query:
    return read_flat(_Query, lambda name: given.get(name.lower().replace("-", "_"), []))


def test_what_is_left_out_has_its_default() -> None:
    assert _read() == _Query()


def test_values_have_their_types_and_the_last_one_counts() -> None:
    read = _read(limit=["1", "007"], after=["", "x"], type=["a"], idempotency_key=["k"])
    assert read == _Query(7, "x", ["a"], "k")
    assert _read(type=["a", "b"]).type == ["a", "b"]
    assert _read(after=["null"]).after == "null"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": ["0"]}, "limit: expected int >= 1"),
        ({"limit": ["1001"]}, "limit: expected int <= 1000"),
        ({"limit": ["-1"]}, "limit: expected int >= 1"),
        ({"limit": ["9" * 5000]}, "limit: the number has more than 18 digits"),
        ({"limit": ["x" * 40]}, f"limit: {'x' * 32 + '...'!r} is no whole number"),
        *[
            ({"limit": [text]}, f"limit: {text!a} is no whole number")
            for text in ("", " 1", "1.0", "--1", "-", "+1", "1e2", "\uff11", "null")
        ],
        ({"type": ["a", "b", "c"]}, "type: expected array of length <= 2"),
        ({"idempotency_key": ["long"]}, "Idempotency-Key: expected str of length <= 3"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, list[str]], said: str) -> None:
    with pytest.raises(InputError) as caught:
        _read(**given)
    assert str(caught.value) == said
