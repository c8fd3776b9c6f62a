"""Calls for the same thing are joined, whoever fails or goes."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.lib.batching import MAX_BATCH, Batcher
from tests.support.waiting import until


class _Work:
    """Carries out when it may, and remembers in which batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.may_go = asyncio.Semaphore(0)  # a batch each
        self.failing = False

    async def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.batches.append((key, list(items)))
        await self.may_go.acquire()
        if self.failing:
            raise OSError("out of order")
        return [item * 10 for item in items]


@pytest.mark.gen_test
async def test_what_comes_while_a_batch_is_under_way_goes_in_the_next() -> None:
    work = _Work()
    batcher = Batcher(work)
    calls = [asyncio.ensure_future(batcher("a", 0))]
    await asyncio.sleep(0)
    calls += [asyncio.ensure_future(batcher("a", n)) for n in range(1, 4)]
    calls += [asyncio.ensure_future(batcher("b", 9))]
    await asyncio.sleep(0)
    assert work.batches == [("a", [0]), ("b", [9])], "another key does not wait"
    for _ in range(4):
        work.may_go.release()
    assert await asyncio.gather(*calls) == [0, 10, 20, 30, 90]
    assert work.batches[2:] == [("a", [1, 2, 3])]
    assert batcher._turns == {}


@pytest.mark.gen_test
async def test_a_failure_is_everybodys_in_its_batch_and_nobody_elses() -> None:
    work = _Work()
    batcher = Batcher(work)
    work.failing = True
    calls = [asyncio.ensure_future(batcher("a", n)) for n in range(3)]
    await asyncio.sleep(0)
    for _ in range(4):
        work.may_go.release()
    for call in calls:
        with pytest.raises(OSError, match="out of order"):
            await call
    work.failing = False
    assert await batcher("a", 4) == 40
    assert [items for _, items in work.batches] == [[0], [1, 2], [4]]


@pytest.mark.gen_test
async def test_the_rest_of_a_batch_goes_on_where_its_first_is_cancelled() -> None:
    work = _Work()
    batcher = Batcher(work)
    calls = [asyncio.ensure_future(batcher("a", n)) for n in range(4)]
    await asyncio.sleep(0)
    work.may_go.release()
    assert await calls[0] == 0
    await until(lambda: len(work.batches) == 2, "the second batch")
    calls[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    for _ in range(4):
        work.may_go.release()
    assert await asyncio.gather(*calls[2:]) == [20, 30]
    assert [items for _, items in work.batches] == [[0], [1, 2, 3], [1, 2, 3]]
    assert batcher._turns == {}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=3 * MAX_BATCH))
def test_each_gets_its_own_result_and_each_item_is_carried_out_once(
    waves: list[tuple[str, int]],
) -> None:
    async def main() -> None:
        work = _Work()
        work.may_go = asyncio.Semaphore(len(waves))
        batcher = Batcher(work)

        async def call(number: int, key: str, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await batcher(key, number) == number * 10

        await asyncio.gather(*(call(n, key, turns) for n, (key, turns) in enumerate(waves)))
        done = [item for _, items in work.batches for item in items]
        assert sorted(done) == list(range(len(waves)))
        assert max((len(items) for _, items in work.batches), default=0) <= MAX_BATCH
        assert batcher._turns == {}

    asyncio.run(main())
