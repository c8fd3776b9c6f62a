"""`handlers.sockjs.strangers`: nobody can keep all the others waiting outside."""

import pytest

from handlers.sockjs.strangers import Room, Strangers


def test_one_address_takes_its_share_and_no_more() -> None:
    strangers = Strangers(max_per_address=3, max_in_all=5)
    for number in range(3):
        assert strangers.room_for("192.0.2.1") is Room.FREE
        strangers.add(number, "192.0.2.1")
    assert strangers.room_for("192.0.2.1") is Room.FULL_FOR_ADDRESS
    assert strangers.room_for("192.0.2.2") is Room.FREE
    for number in range(3, 5):
        strangers.add(number, f"198.51.100.{number}")
    assert strangers.room_for("192.0.2.2") is Room.FULL
    for _ in range(2):
        strangers.discard(0)
    assert strangers.room_for("192.0.2.1") is Room.FREE
    for number in range(5):
        strangers.discard(number)
    assert len(strangers) == 0
    assert not strangers._counts


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("a socket", "another", False),
    ],
)
def test_a_network_of_ipv6_is_one_address(one: str, other: str, is_same: bool) -> None:
    strangers = Strangers(max_per_address=1)
    strangers.add("x", one)
    assert (strangers.room_for(other) is Room.FULL_FOR_ADDRESS) is is_same
