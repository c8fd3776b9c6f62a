"""Batching: joins calls for the same thing; what comes during a batch goes in the next one.

For changes whose cost is that of the document and hardly that of what is changed in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 200


class _Batch(Generic[Item, Result]):
    """What is carried out together, and what came of it."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.results: Sequence[Result] | None = None
        self.error: Exception | None = None

    def is_over(self) -> bool:
        return self.results is not None or self.error is not None


class _Turns(Generic[Item, Result]):
    """The batches of one key: one under way, one that gathers, full ones in between."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # fair: batches go in the order in which they were begun
        self.gathering: _Batch[Item, Result] = _Batch()
        self.callers = 0


class Batcher(Generic[Key, Item, Result]):
    """Carries out items in batches, one batch of a key at a time.

    The first caller of a batch carries it out for all of them. Where that one is cancelled
    meanwhile the next one does it again, so carrying out an item twice must be as good as once.
    """

    def __init__(
        self, carry_out: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Result]]]
    ) -> None:
        """Make a batcher.

        Args:
            carry_out: does what is asked for; a result for each item, in their order. What it
                raises is raised to each caller of the batch.
        """
        self._carry_out = carry_out
        self._turns: dict[Key, _Turns[Item, Result]] = {}

    async def __call__(self, key: Key, item: Item) -> Result:
        """Have an item carried out; its result."""
        turns = self._turns.setdefault(key, _Turns())
        turns.callers += 1
        try:
            batch = turns.gathering
            index = len(batch.items)
            batch.items.append(item)
            if len(batch.items) == MAX_BATCH:
                turns.gathering = _Batch()
            async with turns.lock:
                if not batch.is_over():
                    if turns.gathering is batch:
                        turns.gathering = _Batch()
                    try:
                        batch.results = await self._carry_out(key, batch.items)
                    except Exception as error:  # noqa: BLE001 - raised to each of them below
                        batch.error = error
            if batch.results is None:
                assert batch.error is not None  # noqa: S101 - it is over
                raise batch.error
            return batch.results[index]
        finally:
            turns.callers -= 1
            if not turns.callers:
                del self._turns[key]
