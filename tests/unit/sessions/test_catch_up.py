import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.model.close_codes import CloseCode
from tests.support.fakes import EPOCH, draft
from tests.support.waiting import until
from tests.unit.sessions.parts import Client, Stage, echo


class _Seam:
    """Events, a client that resumes, and everything that may come between, in any order."""

    def __init__(self) -> None:
        self.stage = Stage(commands=echo(), recent_bytes=800, outbox_bytes=1 << 22)
        self.unseen: list[Any] = []
        self.overwritten = 0
        self.gate: asyncio.Future[None] | None = None
        self.stage.log.before_read = lambda: self.gate
        self.client: Client | None = None
        self.asked = 0

    async def store(self, count: int) -> None:
        self.unseen.append(self.stage.log.append("p1", *(draft() for _ in range(count))))

    async def show(self, count: int) -> None:
        shown, self.unseen = self.unseen[:count], self.unseen[count:]
        await self.stage.dispatcher.on_packs(shown)

    async def skip(self, _count: int) -> None:
        """The tail leaves something out."""
        self.unseen = self.unseen[1:]

    async def connect(self, back: int) -> None:
        if self.client is None:
            self.asked = max(0, self.stage.log.heads.get("p1", 0) - back)
            self.client = self.stage.client(room=200)
            self.client.session.start(f"{EPOCH}-{self.asked}")
        await asyncio.sleep(0)

    async def hold(self, _count: int) -> None:
        self.gate = self.gate or asyncio.get_running_loop().create_future()

    async def answer(self, _count: int) -> None:
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    async def receive(self, room: int) -> None:
        if self.client is not None:
            if self.client.transport.sink.writes:
                self.client.transport.sink.finish_write()
            self.client.transport.sink.room = room * 50
        for _ in range(3):
            await asyncio.sleep(0)

    async def overwrite(self, count: int) -> None:
        log = self.stage.log
        newest = log.heads.get("p1", 0)
        log.overwrite("p1", min(self.overwritten + count, newest))
        kept = log.packs.get("p1")
        self.overwritten = kept[0].first - 1 if kept else newest

    async def _is_live_when_drained(self) -> bool:
        assert self.client is not None
        await self.client.drain()
        return self.client.is_live()

    async def end(self) -> None:
        await self.connect(0)
        assert self.client is not None
        await self.answer(0)
        await self.store(1)
        self.unseen = self.unseen[-1:]
        await self.show(1)
        await until(self._is_live_when_drained, "a live session")
        await self.stage.idle()
        await self.client.drain()


SEAM_STEPS = st.one_of(
    st.tuples(st.just("store"), st.integers(1, 5)),
    st.tuples(st.just("show"), st.integers(1, 5)),
    st.tuples(st.just("skip"), st.just(1)),
    st.tuples(st.just("connect"), st.integers(0, 12)),
    st.tuples(st.just("hold"), st.just(0)),
    st.tuples(st.just("answer"), st.just(0)),
    st.tuples(st.just("receive"), st.integers(0, 20)),
    st.tuples(st.just("overwrite"), st.integers(1, 6)),
)


@settings(max_examples=150)
@given(st.lists(SEAM_STEPS, max_size=30))
def test_nothing_is_left_out_or_doubled_where_catching_up_ends(
    steps: list[tuple[str, int]],
) -> None:
    async def scenario() -> None:
        seam = _Seam()
        for step, count in steps:
            await getattr(seam, step)(count)
        await seam.end()
        assert seam.client is not None
        frames = seam.client.frames
        welcome = frames[0]
        assert welcome["type"] == "welcome"
        tip = int(welcome["position"].rpartition("-")[2])
        resume = welcome["resume"]
        seq = seam.asked
        if resume["outcome"] == "lost":
            assert frames[1]["type"] == "gap"
            assert frames[1]["lost"] == resume["lost"] == tip - seam.asked
            assert seam.overwritten > seam.asked
            seq = tip
            frames = frames[1:]
        for frame in frames[1:]:
            if frame["type"] == "gap":
                assert int(frame["requested"].rpartition("-")[2]) == seq
                seq += frame["lost"]
                assert seq <= max(seam.overwritten, tip), "what is called lost was still there"
            elif "id" in frame and frame["type"] != "position":
                assert frame["id"] == f"{EPOCH}-{seq + 1}"
                seq += 1
        assert seq == seam.stage.log.heads["p1"]

    asyncio.run(scenario())


@pytest.mark.gen_test
async def test_catching_up_waits_for_a_slow_client_and_gives_it_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.sessions.catch_up.REPLAY_STALL_S", 0.05)
    monkeypatch.setattr("rtserver.sessions.session.SLOW_FLUSH_S", 0.05)
    stage = Stage(outbox_bytes=20_000)
    await stage.publish(100, text="x" * 1000)
    slow, quick = stage.client(room=0), stage.client(room=0)
    for client in (slow, quick):
        client.session.start(f"{EPOCH}-0")
    while not quick.is_live():
        if quick.transport.sink.writes:
            quick.transport.sink.finish_write()
        assert quick.session.outbox.pending_bytes <= 20_000, "a replay is no overflow"
        await asyncio.sleep(0)
    await quick.drain()
    assert quick.seqs == list(range(1, 101))
    await until(lambda: bool(slow.transport.ended), "the end")
    assert slow.transport.ended == [("abort", None, "")], "it took nothing, not even the reason"
    assert stage.ended[-1].code == CloseCode.TOO_SLOW


@pytest.mark.gen_test
async def test_many_that_do_not_read_take_what_the_budget_has_and_no_more() -> None:
    stage = Stage(recent_bytes=1, outbox_bytes=40_000, catch_up_bytes=50_000)
    await stage.publish(100, text="x" * 1000)
    stuck = [stage.client(room=1000) for _ in range(8)]
    for client in stuck:
        client.session.start(f"{EPOCH}-0")
    budget = stage.services.catch_up_budget
    await until(lambda: budget.held_bytes > 40_000, "a budget that is spent")
    for _ in range(50):
        await asyncio.sleep(0)
        assert budget.held_bytes <= 50_000
        assert sum(client.session.outbox.pending_bytes for client in stuck) <= 52_000
    assert stage.log.read_bytes <= 150_000, "nobody reads for himself"
    # Those who do read have their turns; each gets everything once, in order.
    while not all(client.is_live() for client in stuck):
        for client in stuck:
            if client.transport.sink.writes:
                client.transport.sink.finish_write()
        await asyncio.sleep(0)
    for client in stuck:
        await client.drain()
        assert client.seqs == list(range(1, 101))
    assert budget.held_bytes == 0
    assert stage.log.read_bytes <= 150_000


@pytest.mark.gen_test
async def test_who_gets_no_turn_in_time_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.sessions.catch_up.TURN_S", 0.01)
    stage = Stage(recent_bytes=1, outbox_bytes=40_000, catch_up_bytes=10_000)
    await stage.publish(30, text="x" * 1000)
    stuck, other = stage.client(room=0), stage.client()
    stuck.session.start(f"{EPOCH}-0")
    await until(lambda: stage.services.catch_up_budget.held_bytes > 0, "a budget that is spent")
    other.session.start(f"{EPOCH}-0")
    await until(lambda: bool(other.transport.ended), "the end")
    (ended,) = stage.ended
    assert ended.code == CloseCode.INTERNAL_ERROR
    assert other.types[-1] == "closing"
    assert other.frames[-1]["reconnect"]
    assert "catching up" in other.frames[-1]["reason"]
    while not stuck.is_live():
        await stuck.drain()
    await stage.publish()
    await stuck.drain()
    assert stuck.seqs == list(range(1, 32))
