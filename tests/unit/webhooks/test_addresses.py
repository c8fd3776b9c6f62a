"""`rtserver.webhooks.addresses`."""

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from rtserver.webhooks.addresses import (
    ForbiddenAddressError,
    PublicResolver,
    check_literal,
    is_public,
)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(ForbiddenAddressError):
        check_literal(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_public_is_not(address: str) -> None:
    assert is_public(address)
    check_literal(address)


class _Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self._addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.gen_test
async def test_a_name_leads_to_its_public_addresses_only() -> None:
    check_literal("hooks.example.com")
    found = await PublicResolver(_Names("10.0.0.1", "8.8.8.8")).resolve("hooks.example.com")
    assert [one["host"] for one in found] == ["8.8.8.8"]
    with pytest.raises(ForbiddenAddressError):
        await PublicResolver(_Names("10.0.0.1", "::1")).resolve("hooks.example.com")
