import asyncio
from typing import Any

import pytest

from rtserver.model.errors import StoreUnavailableError
from rtserver.revisions.pruning import DAY_S, prune_now_and_then
from tests.support.recorder import LogRecorder
from tests.support.waiting import until


class Store:
    """Revisions of which so many may go at a time.

    Attributes:
        asked_s: how old what may go had to be, each time.
    """

    def __init__(self, *answers: int | StoreUnavailableError) -> None:
        self._answers = list(answers)
        self.asked_s: list[float] = []

    async def prune(self, older_than_s: float) -> int:
        self.asked_s.append(older_than_s)
        answer = self._answers.pop(0) if self._answers else 0
        if isinstance(answer, StoreUnavailableError):
            raise answer
        return answer


@pytest.mark.gen_test
async def test_it_goes_on_where_mongodb_was_away(logs: LogRecorder) -> None:
    logs.expect("contents_not_pruned")
    store: Any = Store(StoreUnavailableError("away"), 0, 3)
    pruning = asyncio.ensure_future(prune_now_and_then(store, 30, interval_s=0.001))
    try:
        await until(lambda: len(store.asked_s) > 3, "several rounds")
    finally:
        pruning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pruning
    assert set(store.asked_s) == {30 * DAY_S}
    told = [line for line in logs.lines if line["event"].startswith("contents_")]
    assert [line["event"] for line in told] == ["contents_not_pruned", "contents_pruned"]
    assert told[1]["contents"] == 3
