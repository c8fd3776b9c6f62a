import pytest

from rtserver.lib.foreign_json import MAX_DEPTH, ForeignJsonError, decode, is_deeper
from tests.support.cost import cpu_s


def nested(depth: int) -> bytes:
    return b"".join(b'{"a":[' if n % 2 else b"[" for n in range(depth)) + b"".join(
        b"]}" if n % 2 else b"]" for n in reversed(range(depth))
    )


@pytest.mark.parametrize("text", [b"1", b"[]", b"{}", b'"a"', b"null", b"123456789012345678901"])
def test_what_is_flat_is_as_it_was(text: bytes) -> None:
    assert decode(text, max_depth=1) is not Ellipsis


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b"NaN", "not JSON"),
        (b"1e999", "out of range"),
        (b"[" * 180 + b"]" * 180, "100 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "100 levels"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "100 levels"),
    ],
)
def test_what_cannot_be_used_is_told_in_words(text: bytes, why: str) -> None:
    with pytest.raises(ForeignJsonError, match=why):
        decode(text)


def test_the_bound_is_exact() -> None:
    decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(ForeignJsonError):
        decode(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert is_deeper([[]], 1)
    assert not is_deeper([[]], 2)
    assert not is_deeper([1, {"a": 2}], 2)


def test_a_wide_value_costs_what_it_is_long() -> None:
    def seconds(count: int) -> float:
        text = b"[" + b",".join(b"[0]" for _ in range(count)) + b"]"
        return cpu_s(lambda: decode(text))

    assert seconds(200_000) < 40 * seconds(20_000)
