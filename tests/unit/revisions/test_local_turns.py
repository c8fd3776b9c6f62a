import asyncio

import pytest

from rtserver.revisions.local_turns import LocalTurns


@pytest.mark.gen_test
async def test_one_at_a_time_of_a_name_and_none_is_kept() -> None:
    turns = LocalTurns()
    async with turns.of("a", 1), turns.of("b", 1):
        with pytest.raises(TimeoutError):
            async with turns.of("a", 0.01):
                pytest.fail("two at once")
        waiting = asyncio.create_task(_entered(turns))
        await asyncio.sleep(0)
    assert await waiting
    del waiting
    assert not turns._locks


async def _entered(turns: LocalTurns) -> bool:
    async with turns.of("a", 10):
        return True
