"""Waiting for an event for a bounded time."""

import asyncio

import pytest

from rtserver.lib.waiting import is_set_within


@pytest.mark.gen_test
async def test_what_is_set_meanwhile_ends_the_wait_and_what_is_not_the_time_does() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(is_set_within(event, 60))
    await asyncio.sleep(0)
    event.set()
    assert await waiting
    assert await is_set_within(event, 0)
    event.clear()
    assert not await is_set_within(event, 0.001)
