import pytest

from rtserver.auth.client_address import ClientAddresses


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("loopback", "203.0.113.7", [], "203.0.113.7"),
        ("loopback", "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("loopback", "127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("loopback", "::1", ["203.0.113.7"], "203.0.113.7"),
        ("loopback", "127.0.0.1", [], "127.0.0.1"),
        # The client wrote the first; the proxy in front of us added the last.
        ("loopback", "127.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("loopback", "127.0.0.1", ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.0/8", "10.1.2.3", ["203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("loopback,10.0.0.0/8", "127.0.0.1", ["203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.0.0.0/8", "127.0.0.1", ["203.0.113.7"], "127.0.0.1"),
        ("none", "127.0.0.1", ["203.0.113.7"], "127.0.0.1"),
        ("", "127.0.0.1", ["203.0.113.7"], "127.0.0.1"),
        ("loopback", "127.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("loopback", "127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("loopback", "127.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("loopback", "::ffff:127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("loopback", "127.0.0.1", ["unknown"], "127.0.0.1"),
        ("loopback", "127.0.0.1", ["203.0.113.7, <script>"], "127.0.0.1"),
        ("loopback", "127.0.0.1", ["127.0.0.1, 127.0.0.2"], "127.0.0.1"),
        ("loopback", "", ["203.0.113.7"], ""),
        # A scope is whatever its writer wants, and is no part of the client's address.
        ("loopback", "127.0.0.1", ["fe80::7%<script>alert(1)</script>"], "fe80::7"),
        ("loopback", "127.0.0.1", ["[fe80::7%25eth0]:4711"], "fe80::7"),
        ("loopback", "::1%lo", ["203.0.113.7"], "203.0.113.7"),
        ("loopback", "fe80::7%eth0", ["203.0.113.7"], "fe80::7"),
        # One address has one form in records, however it came.
        ("loopback", "::ffff:203.0.113.7", [], "203.0.113.7"),
    ],
)
def test_only_trusted_proxies_are_believed(
    trusted: str, peer: str, forwarded: list[str], expected: str
) -> None:
    assert ClientAddresses(trusted).find(peer, forwarded) == expected


def test_what_is_too_long_for_an_address_is_none_and_is_not_kept() -> None:
    addresses = ClientAddresses("loopback")
    # It begins as an address with a port does, so only its length tells.
    assert addresses.find("127.0.0.1", ["203.0.113.7:" + "1" * 100_000]) == "127.0.0.1"
    assert addresses.find("127.0.0.1", ["203.0.113.7:4711"]) == "203.0.113.7"


def test_each_request_is_answered_alike_however_often_an_address_comes() -> None:
    addresses = ClientAddresses("loopback")
    for _ in range(3):
        assert addresses.find("127.0.0.1", ["203.0.113.7"]) == "203.0.113.7"
        assert addresses.find("203.0.113.7", ["198.51.100.1"]) == "203.0.113.7"
        assert addresses.find("127.0.0.1", ["unknown"]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "is_proxy"),
    [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("203.0.113.7", False), ("", False)],
)
def test_a_connection_of_a_proxy_is_known(peer: str, is_proxy: bool) -> None:
    assert ClientAddresses("loopback").is_proxy(peer) is is_proxy
