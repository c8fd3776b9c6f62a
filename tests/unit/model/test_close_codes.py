import pytest
from websockets.frames import Close

from rtserver.model.close_codes import ADVICE, CloseCode, retry_after_ms

# The table of the protocol's documentation: code, and whether a client comes back by itself.
PROMISED = {
    1001: True,
    1011: True,
    4001: False,
    4003: False,
    4008: True,
    4009: False,
    4010: True,
    4029: True,
    4053: True,
    4400: False,
}


def test_the_codes_are_those_that_clients_rely_on() -> None:
    assert {code.value: ADVICE[code].reconnect for code in CloseCode} == PROMISED


@pytest.mark.parametrize("code", CloseCode)
def test_each_code_fits_into_a_close_frame(code: CloseCode) -> None:
    """RFC 6455 sections 5.5 and 7.4; `websockets` refuses to serialize a code that it forbids."""
    frame = Close(code.value, ADVICE[code].reason)
    frame.check()
    assert 2 < len(frame.serialize()) <= 125


@pytest.mark.parametrize("code", CloseCode)
def test_the_proposed_wait_lies_within_its_bounds_and_only_where_one_comes_back(
    code: CloseCode,
) -> None:
    low, high = ADVICE[code].retry_after_ms
    waits = {retry_after_ms(code) for _ in range(50)}
    if not ADVICE[code].reconnect:
        assert waits == {None}
        return
    assert all(wait is not None and low <= wait <= high for wait in waits)
    assert len(waits) > 1, "thousands must not come back at once"
