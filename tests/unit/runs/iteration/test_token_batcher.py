"""Joining pieces that come faster than they are stored."""

import asyncio
import time
from typing import Any

import pytest

from rtserver.runs.iteration.token_batcher import MAX_EVENT_CHARS, MAX_EVENTS, TokenJoiner


class SlowLog:
    """Takes one publication at a time; `commit` ends it."""

    def __init__(self) -> None:
        self.published: list[list[dict[str, Any]]] = []
        self.asked = asyncio.Event()
        self._commit = asyncio.Event()

    async def emit(self, tokens: list[dict[str, Any]]) -> None:
        self.published.append(tokens)
        self.asked.set()
        await self._commit.wait()
        self._commit.clear()

    async def commit(self) -> None:
        """Let the publication under way end, once there is one."""
        await asyncio.wait_for(self.asked.wait(), 10)
        self.asked.clear()
        self._commit.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for publication in self.published for event in publication]


@pytest.mark.gen_test
async def test_what_comes_during_a_commit_is_one_event_of_the_next() -> None:
    log = SlowLog()
    joiner = TokenJoiner(log.emit)
    running = asyncio.create_task(joiner.run())
    joiner.add("a")
    await asyncio.wait_for(log.asked.wait(), 10)
    for piece in ("b", "c", "d"):
        joiner.add(piece)
    await log.commit()
    await asyncio.wait_for(log.asked.wait(), 10)
    joiner.add("e")
    joiner.close()
    assert not running.done()
    await log.commit()
    await log.commit()
    await asyncio.wait_for(running, 10)
    assert log.published == [
        [{"content": "a", "n": 1}],
        [{"content": "bcd", "n": 2}],
        [{"content": "e", "n": 3}],
    ]


@pytest.mark.gen_test
async def test_thoughts_and_reply_are_events_of_their_own() -> None:
    log = SlowLog()
    joiner = TokenJoiner(log.emit)
    for piece in ("a", "b"):
        joiner.add_reasoning(piece)
    for piece in ("c", "d"):
        joiner.add(piece)
    joiner.add_reasoning("e")
    joiner.close()
    running = asyncio.create_task(joiner.run())
    await log.commit()
    await asyncio.wait_for(running, 10)
    assert log.published == [
        [
            {"content": "", "reasoning": "ab", "n": 1},
            {"content": "cd", "n": 2},
            {"content": "", "reasoning": "e", "n": 3},
        ]
    ]


@pytest.mark.gen_test
async def test_quiet_pieces_are_events_of_their_own() -> None:
    events: list[dict[str, Any]] = []

    async def emit(tokens: list[dict[str, Any]]) -> None:
        events.extend(tokens)
        came.set()

    joiner = TokenJoiner(emit)
    running = asyncio.create_task(joiner.run())
    for piece in ("a", "b", "c"):
        came = asyncio.Event()
        joiner.add(piece)
        await asyncio.wait_for(came.wait(), 10)
    joiner.close()
    await asyncio.wait_for(running, 10)
    assert [event["content"] for event in events] == ["a", "b", "c"]


@pytest.mark.gen_test
async def test_nothing_at_all() -> None:
    log = SlowLog()
    joiner = TokenJoiner(log.emit)
    joiner.close()
    await asyncio.wait_for(joiner.run(), 10)
    assert log.published == []


@pytest.mark.gen_test
async def test_events_and_publications_are_bounded() -> None:
    events: list[list[dict[str, Any]]] = []

    async def emit(tokens: list[dict[str, Any]]) -> None:
        events.append(tokens)

    joiner = TokenJoiner(emit)
    thought, text = "hm " * 100_000, "0123456789" * 100_000
    joiner.add_reasoning(thought)
    joiner.add(text)
    joiner.close()
    await joiner.run()
    assert max(map(len, events)) == MAX_EVENTS
    flat = [event for publication in events for event in publication]
    assert max(len(event["content"]) for event in flat) == MAX_EVENT_CHARS
    assert "".join(event["content"] for event in flat) == text
    assert max(len(event.get("reasoning", "")) for event in flat) == MAX_EVENT_CHARS
    assert "".join(event.get("reasoning", "") for event in flat) == thought
    assert [event["n"] for event in flat] == list(range(1, len(flat) + 1))


@pytest.mark.gen_test
async def test_a_log_that_fails_is_heard_of() -> None:
    async def emit(_tokens: list[dict[str, Any]]) -> None:
        raise RuntimeError("no")

    joiner = TokenJoiner(emit)
    joiner.add("a")
    with pytest.raises(RuntimeError, match="no"):
        await joiner.run()


@pytest.mark.gen_test
async def test_the_work_grows_with_the_text_however_it_comes() -> None:
    async def emit(tokens: list[dict[str, Any]]) -> None:
        assert len(tokens) <= MAX_EVENTS

    async def took_s(count: int, *, alternating: bool) -> float:
        joiner = TokenJoiner(emit)
        if alternating:
            for _ in range(count // 2):
                joiner.add("a")
                joiner.add_reasoning("b")
        else:
            joiner.add("a" * count * 100)
        joiner.close()
        begun_s = time.process_time()
        await joiner.run()
        return time.process_time() - begun_s

    for alternating in (True, False):
        few_s = await took_s(10_000, alternating=alternating)
        assert await took_s(100_000, alternating=alternating) < 15 * max(few_s, 0.01)
