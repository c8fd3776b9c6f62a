"""The address of a client, behind proxies or not."""

import ipaddress
from collections.abc import Sequence

LOOPBACK = ("127.0.0.0/8", "::1/128")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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

    def find(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address that a request is from.

        Read from right to left, X-Forwarded-For names who handed the request on; the first that is
        no trusted proxy is the client, for what stands further left is only its word.

        Args:
            peer: the address of the other end of the connection.
            forwarded_for: the values of the X-Forwarded-For headers, in order.
        """
        address = _parse(peer)
        if address is None or not self._is_trusted(address):
            return peer
        hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
        for hop in reversed(hops):
            found = _parse(hop)
            if found is None:
                break  # not an address: whatever it is, the last one that we know is the answer
            address = found
            if not self._is_trusted(address):
                break
        return str(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> Address | None:
    try:
        # "[::1]:443" and "192.0.2.1:443" are seen in the wild.
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
