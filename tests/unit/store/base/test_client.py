"""How a client of MongoDB is made."""

import pytest

from store.base.client import TIMEOUTS_MS, connect


@pytest.mark.gen_test
async def test_the_time_outs_of_the_address_win_over_ours() -> None:
    # With an IPv6 address among several, urllib takes it for no address at all.
    client = connect("mongodb://a,b:27018,[::1]:27019/app?replicaSet=three&sockettimeoutms=9000")
    try:
        pool = client.delegate.options.pool_options
        assert pool.socket_timeout == 9
        assert pool.connect_timeout == TIMEOUTS_MS["connectTimeoutMS"] / 1000
    finally:
        client.close()
