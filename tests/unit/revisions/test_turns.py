"""Of all workers one has the turn."""

import asyncio

import pytest

from rtserver.revisions.turns import Turn


class Turns:
    """A place for one; who is renewed after `lost` is told that another has it."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.lost = asyncio.Event()

    async def claim(self, name: str, holder: str) -> object | None:
        self.holder = self.holder or holder
        return name if self.holder == holder else None

    async def renew(self, name: str, holder: str) -> bool:
        return self.holder == holder and not self.lost.is_set()

    async def release(self, name: str, holder: str) -> None:
        if self.holder == holder:
            self.holder = None


@pytest.mark.gen_test
async def test_the_work_ends_with_the_turn_and_the_turn_with_the_work() -> None:
    turns = Turns()
    one = Turn(turns, "x", holder="one", lease_s=0.01)
    other = Turn(turns, "x", holder="other", lease_s=0.01)
    done: list[str] = []

    async def short() -> None:
        assert not await other.take(short)
        done.append("short")

    async def endless() -> None:
        try:
            turns.lost.set()
            await asyncio.Event().wait()
        finally:
            done.append("endless")

    async def failing() -> None:
        raise ValueError

    assert await one.take(short)
    assert await one.take(endless)
    with pytest.raises(ExceptionGroup):
        await one.take(failing)
    assert turns.holder is None
    assert done == ["short", "endless"]
