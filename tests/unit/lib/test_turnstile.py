"""`rtserver.lib.turnstile`: one in so many turns of the event loop, keys by turns."""

import asyncio
import itertools

import pytest

from rtserver.lib.turnstile import TooManyWaitingError, Turnstile


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._next = asyncio.get_running_loop().call_soon(self._count)

    def _count(self) -> None:
        self.number += 1
        self._next = asyncio.get_running_loop().call_soon(self._count)

    def stop(self) -> None:
        self._next.cancel()


async def _passed(keys: str, every: int = 1) -> list[tuple[str, int]]:
    """Who passed when, of those who came together."""
    stile, turns, passed = Turnstile(100, every), Turns(), []

    async def come(key: str) -> None:
        await stile.pass_by(key)
        passed.append((key, turns.number))

    await asyncio.gather(*map(come, keys))
    turns.stop()
    assert not stile._waiting
    assert not stile._keys
    return passed


@pytest.mark.gen_test
@pytest.mark.parametrize("every", [1, 4])
async def test_one_passes_in_so_many_turns(every: int) -> None:
    turns = [turn for _, turn in await _passed("aaaaaaaa", every)]
    assert all(later - turn == every for turn, later in itertools.pairwise(turns[1:]))
    assert turns[1] - turns[0] <= every + 1


@pytest.mark.gen_test
async def test_who_comes_alone_does_not_wait_behind_a_crowd() -> None:
    order = "".join(key for key, _ in await _passed("aaaaaaaabcab"))
    assert order == "aabcabaaaaaa"


@pytest.mark.gen_test
async def test_who_gives_up_is_passed_over_and_too_many_are_refused() -> None:
    stile = Turnstile(2, 1)
    coming = [asyncio.ensure_future(stile.pass_by(key)) for key in "aaaab"]
    await asyncio.sleep(0)
    coming[1].cancel()
    results = await asyncio.gather(*coming, return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        asyncio.CancelledError,
        type(None),
        TooManyWaitingError,
        type(None),
    ]
    await stile.pass_by("a")
