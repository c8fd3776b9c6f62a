import pytest

from rtserver.client_address import ClientAddresses


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
    ],
)
def test_only_trusted_proxies_are_believed(
    trusted: str, peer: str, forwarded: list[str], expected: str
) -> None:
    assert ClientAddresses(trusted).find(peer, forwarded) == expected
