"""How far back a project's events can be had: `rtserver.delivery.horizon`."""

import asyncio

import pytest

from rtserver.delivery.horizon import KEEP_S, KeptHorizon
from tests.support.fakes import MemoryLog, draft


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.gen_test
async def test_one_read_serves_many_for_a_while() -> None:
    log, clock = MemoryLog(), _Clock()
    log.append("p1", draft("p1", n=1))
    log.append("p1", draft("p1", n=2))
    kept = KeptHorizon(clock)
    both = await asyncio.gather(*(kept.read(log, "p1", tip_seq=2) for _ in range(2)))
    assert [horizon.oldest for horizon in both] == [1, 1]
    log.overwrite("p1", 1)
    assert (await kept.read(log, "p1", tip_seq=2)).oldest == 1
    assert log.reads == 1
    clock.now_s += KEEP_S
    assert (await kept.read(log, "p1", tip_seq=2)).oldest == 2


@pytest.mark.gen_test
async def test_no_session_is_told_two_numbers_where_it_learned_a_newer_one() -> None:
    log = MemoryLog()
    log.append("p1", draft("p1", n=1))
    log.append("p1", draft("p1", n=2))
    kept = KeptHorizon()
    await kept.read(log, "p1", tip_seq=2)
    log.overwrite("p1", 1)
    assert (await kept.read(log, "p1", tip_seq=2, oldest=2)).oldest == 2


@pytest.mark.gen_test
async def test_an_empty_buffer_is_read_again_once_something_came() -> None:
    log = MemoryLog()
    kept = KeptHorizon()
    empty = await kept.read(log, "p1", tip_seq=0)
    assert (empty.oldest, empty.stored_at_s) == (1, None)
    await kept.read(log, "p1", tip_seq=0)
    assert log.reads == 1
    log.append("p1", draft("p1", n=1))
    first = await kept.read(log, "p1", tip_seq=1)
    assert first.oldest == 1
    assert first.stored_at_s is not None
