"""Acting soon, and not too often."""

import asyncio

from rtserver.lib.throttle import Throttle
from tests.support import warp


def test_the_first_is_soon_and_the_rest_act_together() -> None:
    async def act() -> list[float]:
        loop = asyncio.get_running_loop()
        moments: list[float] = []
        throttle = Throttle(lambda: moments.append(loop.time()), gather_s=0.1, interval_s=1.0)
        for _ in range(30):
            throttle.ask()
            throttle.ask()
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        throttle.ask()
        await asyncio.sleep(1)
        return [round(moment, 3) for moment in moments]

    assert warp.run(act()) == [0.1, 1.1, 2.1, 3.1, 8.1]


def test_what_is_stopped_does_not_act_any_more() -> None:
    async def act() -> int:
        count = 0

        def once() -> None:
            nonlocal count
            count += 1

        throttle = Throttle(once, gather_s=0.1, interval_s=1.0)
        throttle.ask()
        throttle.stop()
        throttle.stop()
        await asyncio.sleep(2)
        throttle.ask()
        await asyncio.sleep(2)
        return count

    assert warp.run(act()) == 1
