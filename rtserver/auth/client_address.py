"""The address of a client, behind proxies or not."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

LOOPBACK = ("127.0.0.0/8", "::1/128")
MAX_HOP_LENGTH = 128
KEPT_HOPS = 1024
IPV6_NETWORK_BITS = 64
"""What one host may choose its addresses from (RFC 4291 section 2.5.1)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Hop(NamedTuple):
    """One of those through whom a request came."""

    address: str
    is_trusted: bool


class ClientAddresses:
    """Finds out whom a request is from, by the rule that only listed proxies are believed."""

    def __init__(self, trusted_proxies: str) -> None:
        """Read the setting of this name."""
        networks: list[str] = []
        for item in filter(None, trusted_proxies.split(",")):
            if item == "loopback":
                networks += LOOPBACK
            elif item != "none":
                networks.append(item)
        self._networks = tuple(map(ipaddress.ip_network, networks))
        # Few peers make most requests, and to take an address apart costs as much as to route one.
        self._known_hop = lru_cache(KEPT_HOPS)(self._read_hop)

    def find(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address that a request is from.

        Read from right to left, X-Forwarded-For names who handed the request on; the first that is
        no trusted proxy is the client, for what stands further left is only its word.

        Args:
            peer: the address of the other end of the connection.
            forwarded_for: the values of the X-Forwarded-For headers, in order.
        """
        nearest = self._hop(peer)
        if nearest is None:
            return peer
        if not nearest.is_trusted:
            return nearest.address
        texts = [text.strip() for value in forwarded_for for text in value.split(",")]
        for text in reversed(texts):
            hop = self._hop(text)
            if hop is None:
                break  # not an address: whatever it is, the last one that we know is the answer
            nearest = hop
            if not hop.is_trusted:
                break
        return nearest.address

    def is_proxy(self, peer: str) -> bool:
        """Whether an address is one of a proxy that is believed, and so not its client's."""
        hop = self._hop(peer)
        return hop is not None and hop.is_trusted

    def _hop(self, text: str) -> _Hop | None:
        # What is too long to be an address is not kept: clients write what they like.
        return self._known_hop(text) if len(text) <= MAX_HOP_LENGTH else None

    def _read_hop(self, text: str) -> _Hop | None:
        address = _parse(text)
        if address is None:
            return None
        return _Hop(str(address), any(address in network for network in self._networks))


def network_of(ip: str) -> str:
    """What counts as one address where clients are counted: of IPv6, one network of 64 bits."""
    if ":" not in ip:
        return ip  # of IPv4, or of a Unix socket, which has none
    address = _parse(ip)
    if not isinstance(address, ipaddress.IPv6Address):
        return ip if address is None else str(address)
    return str(ipaddress.ip_network((address, IPV6_NETWORK_BITS), strict=False))


def _parse(text: str) -> Address | None:
    """The address, without the scope of an IPv6 one (RFC 4007 section 11).

    A scope names an interface of the host that wrote it, so it says nothing here; and any text at
    all may stand there, of any length.
    """
    try:
        # "[::1]:443" and "192.0.2.1:443" are seen in the wild.
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
