"""Addresses that webhooks may go to: no message is to reach what stands behind the server.

A name is resolved once, and the connection goes to an address that was checked: it can't point to
another one in between (DNS rebinding).
"""

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


class ForbiddenAddressError(OSError):
    """The host is at no address that may be connected to."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet, also the IPv4 one within it.

    Raises:
        ValueError: it is no address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            embedded.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(one is not None and not is_public(str(one)) for one in embedded):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


def check_literal(host: str) -> None:
    """Check a host that is an IP address already: no resolver is asked for it.

    Raises:
        ForbiddenAddressError: it must not be connected to.
    """
    try:
        public = is_public(host)
    except ValueError:
        return  # a name
    if not public:
        raise ForbiddenAddressError(f"{host} is no public address")


class PublicResolver(AbstractResolver):
    """Resolves names, to public addresses only."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that are public.

        Raises:
            ForbiddenAddressError: it has none.
            OSError: the name is not known.
        """
        found = await self._resolver.resolve(host, port, family)
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise ForbiddenAddressError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._resolver.close()
