import asyncio

import pytest

from rtserver.lib.byte_budget import ByteBudget, Lease

WAIT_S = 30.0


async def _asked(*budgets: "asyncio.Task[Lease]") -> list[bool]:
    """Which of them have been served, once all have been heard."""
    for _ in range(3):
        await asyncio.sleep(0)
    return [task.done() for task in budgets]


def _ask(budget: ByteBudget, size_bytes: int, wait_s: float = WAIT_S) -> "asyncio.Task[Lease]":
    return asyncio.ensure_future(budget.lease(size_bytes, wait_s))


@pytest.mark.gen_test
async def test_what_there_is_room_for_is_had_at_once_and_given_back() -> None:
    budget = ByteBudget(100)
    with await budget.lease(60, 0), await budget.lease(40, 0):
        assert budget.held_bytes == 100
    assert budget.held_bytes == 0


@pytest.mark.gen_test
async def test_turns_go_in_order_and_a_small_one_does_not_pass_a_large_one() -> None:
    budget = ByteBudget(100)
    first = await budget.lease(80, 0)
    large, small = _ask(budget, 50), _ask(budget, 10)
    assert await _asked(large, small) == [False, False]
    first.resize(45)
    assert await _asked(large, small) == [True, False]
    (await large).resize(0)
    assert await _asked(small) == [True]
    for lease in (first, await small):
        lease.resize(0)
    assert budget.held_bytes == 0


@pytest.mark.gen_test
async def test_one_that_is_larger_than_all_there_is_has_it_alone() -> None:
    budget = ByteBudget(100)
    first = await budget.lease(1, 0)
    huge, next_one = _ask(budget, 1000), _ask(budget, 1)
    assert await _asked(huge, next_one) == [False, False]
    first.resize(0)
    assert await _asked(huge, next_one) == [True, False]
    (await huge).resize(0)
    (await next_one).resize(0)
    assert budget.held_bytes == 0


@pytest.mark.gen_test
async def test_what_turns_out_larger_is_held_and_makes_others_wait() -> None:
    budget = ByteBudget(100)
    first = await budget.lease(10, 0)
    first.resize(300)
    waiting = _ask(budget, 10)
    assert await _asked(waiting) == [False]
    first.resize(0)
    (await waiting).resize(0)
    assert budget.held_bytes == 0


@pytest.mark.gen_test
async def test_who_waits_too_long_or_gives_up_holds_nothing_and_is_in_nobodys_way() -> None:
    budget = ByteBudget(100)
    first = await budget.lease(90, 0)
    with pytest.raises(TimeoutError):
        await budget.lease(50, 0.001)
    cancelled, small = _ask(budget, 50), _ask(budget, 10)
    assert await _asked(cancelled, small) == [False, False]
    cancelled.cancel()
    assert await _asked(cancelled, small) == [True, True]
    (await small).resize(0)
    served = _ask(budget, 90)
    assert await _asked(served) == [False]
    first.resize(0)
    served.cancel()  # in the moment of its turn
    await asyncio.wait([served])
    assert served.cancelled()
    assert budget.held_bytes == 0
