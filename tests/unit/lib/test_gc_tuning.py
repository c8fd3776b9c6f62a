"""`rtserver.lib.gc_tuning`: what is in a cycle goes, though the thresholds are high."""

import asyncio
import gc
import weakref

import pytest

from rtserver.lib import gc_tuning as collector
from rtserver.lib.gc_tuning import INTERVAL_S, collect_now_and_then, pause_s
from tests.support.waiting import until


class Knot:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.gen_test
async def test_an_old_cycle_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "INTERVAL_S", 0.05)
    before = gc.get_threshold()
    task = asyncio.ensure_future(collect_now_and_then(lambda: None))
    try:
        await until(lambda: gc.get_threshold() == collector.THRESHOLDS, "its start")
        knot = Knot()
        gc.collect()  # it is old now
        seen = weakref.ref(knot)
        del knot
        await until(lambda: seen() is None, "the collection")
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


@pytest.mark.gen_test
async def test_what_must_not_wait_is_done_right_before_each_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector, "INTERVAL_S", 0.01)
    monkeypatch.setattr(collector, "MAX_SHARE", 1.0)
    done: list[str] = []
    collect = gc.collect

    def watched() -> int:
        done.append("collect")
        return collect()

    monkeypatch.setattr(gc, "collect", watched)
    task = asyncio.ensure_future(collect_now_and_then(lambda: done.append("ready")))
    try:
        await until(lambda: len(done) >= 6, "three collections")
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert done[:6] == ["ready", "collect"] * 3


def test_a_slow_collection_waits_for_longer() -> None:
    assert pause_s(0.001) == INTERVAL_S
    assert pause_s(0.2) == pytest.approx(100)
