import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import ADVICE, CloseCode
from rtserver.model.errors import ConflictError, NotFoundError, StoreUnavailableError
from rtserver.model.events import EventDraft, viewers_of
from rtserver.model.identity import Identity
from rtserver.model.run import RunJson, RunKind, RunState
from rtserver.sessions.inbox import MAX_COMMANDS_IN_FLIGHT, MAX_STRIKES
from rtserver.sessions.messages import Ack, Command, Replay, View, ViewAck
from rtserver.sessions.services import Ended
from rtserver.sessions.session import Session
from tests.support.fakes import EPOCH, draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.support.wire_reader import EventSource
from tests.unit.sessions.parts import PING_S, PONG_S, TICK_S, Client, Stage


def _echo() -> dict[type[Command], Callable[[Session, Any], Awaitable[Ack]]]:
    async def view(session: Session, command: View) -> Ack:
        return ViewAck(proposal_ids=command.proposal_ids, position=f"test-{session.seq}")

    async def replay(session: Session, command: Replay) -> Ack:
        session.replay(int(command.from_.rpartition("-")[2]))
        return Ack()

    return {View: view, Replay: replay}


VIEW = '{"type":"view","proposal_ids":[],"request_id":"r"}'


# Opening


@pytest.mark.gen_test
async def test_the_welcome_says_where_the_client_is_and_what_holds() -> None:
    stage = Stage()
    await stage.publish(3)
    run: RunJson = {
        "run_id": "r1",
        "kind": RunKind.VALIDATION,
        "project_id": "p1",
        "proposal_id": "c1",
        "state": RunState.RUNNING,
        "started_by": "ben",
        "started_at": "2026-01-01T00:00:00.000Z",
    }
    stage.active_runs = [run]
    client = await stage.joined()
    (welcome,) = client.frames
    assert welcome.pop("token_expires_at").endswith("Z")
    said = datetime.fromisoformat(welcome.pop("ts"))
    assert abs((datetime.now(UTC) - said).total_seconds()) < 60
    assert welcome == {
        "type": "welcome",
        "connection_id": "c1",
        "user_id": "ada",
        "name": "Ada",
        "project_id": "p1",
        "position": f"{EPOCH}-3",
        "resume": {"outcome": "fresh", "requested": None, "replayed": 0, "lost": 0},
        "heartbeat": {"ping_interval_s": PING_S, "pong_timeout_s": PONG_S},
        "limits": {
            "max_message_bytes": 1000,
            "outbox_bytes": 1 << 20,
            "messages_per_s": 20.0,
        },
        "active_runs": [run],
    }


@pytest.mark.gen_test
@pytest.mark.parametrize("recent_bytes", [0, 1 << 20])
async def test_what_was_missed_follows_the_welcome_and_then_what_is_new(recent_bytes: int) -> None:
    stage = Stage(recent_bytes=recent_bytes)
    keeper = await stage.joined()
    await stage.publish(1200)
    client = await stage.joined(f"{EPOCH}-2")
    await stage.publish(2)
    assert client.types[0] == "welcome"
    assert client.frames[0]["resume"] == {
        "outcome": "replayed",
        "requested": f"{EPOCH}-2",
        "replayed": 1198,
        "lost": 0,
    }
    assert client.seqs == list(range(3, 1203))
    assert keeper.seqs == list(range(1, 1203))


@pytest.mark.gen_test
async def test_what_is_lost_is_one_exact_gap_and_then_what_is_new() -> None:
    stage = Stage(recent_bytes=0)
    await stage.publish(10)
    stage.log.overwrite("p1", 7)
    client = await stage.joined(f"{EPOCH}-2")
    await stage.publish(1)
    welcome, gap, event = client.frames
    assert welcome["resume"]["outcome"] == "lost"
    assert gap == {
        "type": "gap",
        "requested": f"{EPOCH}-2",
        "oldest_available": f"{EPOCH}-8",
        "lost": 8,
        "refetch": "/api/v1/projects/p1",
    }
    assert event["id"] == f"{EPOCH}-11"


@pytest.mark.gen_test
async def test_a_narrowed_client_gets_what_it_views_and_then_learns_the_position() -> None:
    stage = Stage()
    for n in range(6):
        name = "a" if n % 2 else "b"
        await stage.show(EventDraft("p1", "test.event", {"n": n}, viewers_of(name)))
    client = await stage.joined(f"{EPOCH}-0", proposal_ids=frozenset({"b"}))
    assert client.frames[0]["resume"]["replayed"] == 3
    assert client.seqs == [1, 3, 5]
    assert client.session in stage.channel.behind, "it has to be told of 6"


@pytest.mark.gen_test
async def test_an_event_stream_begins_with_a_position_to_resume_from() -> None:
    stage = Stage()
    await stage.publish(4)
    for last_event_id, expected in ((None, 4), (f"{EPOCH}-4", 4), (f"{EPOCH}-1", 4)):
        client = await stage.joined(last_event_id, encoding=Encoding.SSE)
        source = EventSource()
        source.feed(bytes(client.transport.sink.received))
        assert source.last_event_id == f"{EPOCH}-{expected}"
        assert source.dispatched[0][0] == "welcome"


@pytest.mark.gen_test
async def test_a_log_that_does_not_answer_ends_the_session_with_a_word(logs: LogRecorder) -> None:
    stage = Stage()
    stage.log.failures = 1
    client = stage.client()
    client.session.start(None)
    await until(lambda: bool(client.transport.ended), "the end")
    assert client.types == ["closing"]
    assert client.transport.ended == [("close", 1011, "Internal error")]
    assert [line["event"] for line in logs.lines] == ["session_not_opened"]
    assert len(stage.wheel) == 0


@pytest.mark.gen_test
async def test_commands_that_come_before_the_welcome_are_answered_after_it() -> None:
    """The answer named position 0, from which a client would have begun again."""
    stage = Stage(commands=_echo())
    await stage.publish(2)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stage.log.before_read = lambda: gate
    client = stage.client()
    client.session.start(None)
    client.session.on_message(VIEW)
    client.session.on_message("nonsense")
    await asyncio.sleep(0.01)
    assert client.frames == []
    gate.set_result(None)
    await until(lambda: len(client.frames) == 3, "welcome and answers")
    assert sorted(client.types[1:]) == ["ack", "error"]
    assert client.types[0] == "welcome"


@pytest.mark.gen_test
async def test_many_that_come_before_the_welcome_are_too_many() -> None:
    stage = Stage(commands=_echo())
    stage.log.before_read = lambda: asyncio.get_running_loop().create_future()
    client = stage.client()
    client.session.start(None)
    for _ in range(MAX_COMMANDS_IN_FLIGHT + 1):
        client.session.on_message(VIEW)
    assert client.types == ["closing"]
    assert client.frames[0]["code"] == 4029
    await stage.tasks.stop()


# Catching up


class _Seam:
    """Events, a client that resumes, and everything that may come between, in any order."""

    def __init__(self) -> None:
        self.stage = Stage(commands=_echo(), recent_bytes=800, outbox_bytes=1 << 22)
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

    async def end(self) -> None:
        await self.connect(0)
        assert self.client is not None
        await self.answer(0)
        await self.store(1)
        self.unseen = self.unseen[-1:]
        await self.show(1)
        await until(self.client.is_live, "a live session")
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


# Closing


@pytest.mark.gen_test
@pytest.mark.parametrize("code", CloseCode)
async def test_the_reason_is_sent_before_each_close(code: CloseCode) -> None:
    stage = Stage()
    client = await stage.joined()
    client.session.close(code)
    client.session.close(CloseCode.INTERNAL_ERROR)
    client.session.send_error(None, "late", "late")
    assert client.types == ["welcome", "closing"]
    closing = client.frames[-1]
    advice = ADVICE[code]
    assert (closing["code"], closing["reason"]) == (code, advice.reason)
    assert closing["reconnect"] is advice.reconnect
    assert (closing["retry_after_ms"] is not None) is advice.reconnect
    assert client.transport.ended == [("close", code, advice.reason)]
    assert stage.ended == [Ended(code, advice.reason, by_server=True)]
    assert (len(stage.channel.live), stage.channel.holders, len(stage.wheel)) == (0, 0, 0)


@pytest.mark.gen_test
async def test_what_waits_goes_out_before_the_reason_and_then_the_connection_ends() -> None:
    stage = Stage()
    client = await stage.joined()
    client.transport.sink.room = 0
    await stage.publish(3)
    client.session.close(CloseCode.GOING_AWAY)
    await asyncio.sleep(0.01)
    assert client.transport.ended == []
    await client.drain()
    await stage.idle()
    assert client.types == ["welcome", *["test.event"] * 3, "closing"]
    assert [ended[0] for ended in client.transport.ended] == ["close"]


@pytest.mark.gen_test
async def test_one_who_is_too_slow_is_told_so_and_gets_no_hole() -> None:
    stage = Stage(outbox_bytes=3000)
    client = await stage.joined()
    client.transport.sink.room = 0
    await stage.publish(60, text="x" * 100)
    assert client.session.is_closing()
    await client.drain()
    await stage.idle()
    assert client.types[-1] == "closing"
    assert client.frames[-1]["code"] == 4008
    assert client.seqs == list(range(1, len(client.seqs) + 1)), "the last id is where it resumes"
    assert len(client.seqs) < 60
    assert stage.metrics.outbox_overflow_total._value.get() == 1


@pytest.mark.gen_test
async def test_an_answer_that_comes_too_late_is_not_sent() -> None:
    """It followed the close frame, which is an error of the protocol."""
    release = asyncio.Event()

    async def slow(_session: Session, _command: View) -> Ack:
        await release.wait()
        return Ack()

    stage = Stage(commands={View: slow})
    client = await stage.joined()
    client.session.on_message(VIEW)
    client.session.close(CloseCode.FORBIDDEN)
    release.set()
    await stage.idle()
    assert client.types == ["welcome", "closing"]


@pytest.mark.gen_test
async def test_a_client_that_leaves_at_any_moment_leaves_nothing_behind() -> None:
    for moment in range(12):
        stage = Stage(recent_bytes=0)
        await stage.publish(30, text="x" * 500)
        client = stage.client(room=300)
        client.session.start(f"{EPOCH}-1")
        for _ in range(moment):
            await asyncio.sleep(0)
        client.session.on_disconnect(1006)
        client.session.on_disconnect(1006)
        client.session.on_pong()
        client.session.on_message(VIEW)
        if client.transport.sink.writes:
            client.transport.sink.break_write()
        await stage.idle()
        channel = stage.dispatcher.channels.get("p1")
        assert channel is None or (channel.holders, len(channel.live)) == (0, 0), moment
        assert stage.ended == [Ended(1006, "", by_server=False)]
        assert len(stage.wheel) == 0
        assert client.transport.ended == []
        await stage.publish(1)


# Time


@pytest.mark.gen_test
async def test_a_client_that_answers_is_pinged_at_each_interval() -> None:
    stage = Stage()
    client = await stage.joined()
    for count in range(1, 5):
        stage.pass_time(PING_S - 1)
        assert client.transport.pings == count - 1
        stage.pass_time(1 + 2 * TICK_S)
        assert client.transport.pings == count
        client.session.on_pong()
        await asyncio.sleep(0)
    assert client.types == ["welcome"]


@pytest.mark.gen_test
async def test_one_who_does_not_answer_is_closed_in_time_and_not_before() -> None:
    stage = Stage()
    client = await stage.joined()
    stage.pass_time(PING_S + TICK_S + 0.01)
    assert client.transport.pings == 1
    stage.pass_time(PONG_S - TICK_S)
    assert not client.session.is_closing()
    stage.pass_time(3 * TICK_S)
    assert client.frames[-1]["code"] == 4010
    stage.pass_time(100)
    assert client.transport.pings == 1


@pytest.mark.gen_test
async def test_a_pong_that_was_not_asked_for_changes_nothing() -> None:
    stage = Stage()
    client = await stage.joined()
    for _ in range(10):
        stage.pass_time(PING_S / 11)
        client.session.on_pong()
    stage.pass_time(PING_S / 11 + 2 * TICK_S)
    assert client.transport.pings == 1


@pytest.mark.gen_test
async def test_a_late_pong_within_the_timeout_is_good_and_the_next_ping_is_on_time() -> None:
    stage = Stage()
    client = await stage.joined()
    stage.pass_time(PING_S + 2 * TICK_S)
    stage.pass_time(PONG_S - 4 * TICK_S)
    client.session.on_pong()
    stage.pass_time(PING_S - PONG_S + 6 * TICK_S)
    assert client.transport.pings == 2


@pytest.mark.gen_test
async def test_a_token_that_expires_ends_the_session_and_a_new_one_prolongs_it() -> None:
    stage = Stage()
    client = await stage.joined(ttl_s=100.0)
    renewed = await stage.joined(ttl_s=100.0)
    for _ in range(10):
        stage.pass_time(9.5)
        for one in (client, renewed):
            one.session.on_pong()
    assert not client.session.is_closing()
    old = renewed.session.identity
    renewed.session.renew_identity(
        Identity(old.user_id, old.name, old.projects, old.roles, old.expires_at + 50)
    )
    stage.pass_time(6)
    assert client.frames[-1]["code"] == 4001
    assert "expired" in client.frames[-1]["reason"]
    assert not renewed.session.is_closing()


@pytest.mark.gen_test
async def test_a_token_that_is_over_already_ends_it_at_the_next_tick() -> None:
    stage = Stage()
    client = await stage.joined(ttl_s=-5.0)
    stage.pass_time(2 * TICK_S)
    assert client.frames[-1]["code"] == 4001


# Messages


@pytest.mark.gen_test
async def test_what_cannot_be_used_is_answered_and_too_much_of_it_ends_the_session() -> None:
    stage = Stage(commands=_echo())
    client = await stage.joined()
    for _ in range(MAX_STRIKES - 1):
        assert (await client.say("nonsense"))["reason"] == "malformed"
    assert (await client.say(VIEW))["type"] == "ack", "one good message clears the record"
    for text, reason in (
        (b"\x00", "binary"),
        ("x" * 1001, "too_large"),
        ("\u00e4" * 501, "too_large"),
        ("\ud800", "malformed"),
        ('{"type":"zap"}', "unknown_type"),
        ('{"type":"view"}', "invalid"),
    ):
        frame = await client.say(text)
        assert (frame["type"], frame["reason"]) == ("error", reason)
    for _ in range(MAX_STRIKES - 6):
        client.session.on_message("{}")
    assert client.types[-2:] == ["error", "closing"]
    assert client.frames[-1]["code"] == 4400


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "request_id",
    ['"r1"', "7", "-7", "0", "null", "true", "1.5", "1e400", "9" * 30, "[]", '"' + "x" * 300 + '"'],
)
async def test_an_error_repeats_a_request_id_only_where_it_is_one(request_id: str) -> None:
    stage = Stage(commands=_echo())
    client = await stage.joined()
    for kind in ('"zap"', '"view"', "7"):
        frame = await client.say(f'{{"type":{kind},"request_id":{request_id}}}')
        assert frame["type"] == "error"
        if request_id in ('"r1"', "7", "-7", "0", "9" * 30):
            assert frame["request_id"] == json.loads(request_id)
        else:
            assert "request_id" not in frame, "true is no number"


@pytest.mark.gen_test
async def test_more_than_the_rate_ends_the_session() -> None:
    stage = Stage(commands=_echo(), max_messages_per_s=2.0, max_message_burst=5)
    client = await stage.joined()
    for _ in range(5):
        await client.say(VIEW)
    stage.pass_time(1)
    await client.say(VIEW)
    await client.say(VIEW)
    client.session.on_message(VIEW)
    assert client.frames[-1]["code"] == 4029
    assert client.frames[-1]["retry_after_ms"] > 0


@pytest.mark.gen_test
async def test_so_many_commands_at_once_and_no_more() -> None:
    release = asyncio.Event()
    under_way = 0

    async def slow(_session: Session, _command: View) -> Ack:
        nonlocal under_way
        under_way += 1
        await release.wait()
        return Ack()

    stage = Stage(commands={View: slow})
    client = await stage.joined()
    for _ in range(MAX_COMMANDS_IN_FLIGHT):
        client.session.on_message(VIEW)
    assert (await client.say(VIEW))["reason"] == "busy"
    assert [(one.reason, one.command) for one in stage.refused] == [("busy", "view")]
    await until(lambda: under_way == MAX_COMMANDS_IN_FLIGHT, "all commands")
    release.set()
    await stage.idle()
    assert client.types.count("ack") == MAX_COMMANDS_IN_FLIGHT
    assert (await client.say(VIEW))["type"] == "ack"


@pytest.mark.gen_test
async def test_a_command_that_fails_is_answered_and_says_nothing_of_the_inside(
    logs: LogRecorder,
) -> None:
    errors: list[Exception] = [
        NotFoundError("There is none", run={"id": 1}),
        StoreUnavailableError("The database does not answer; try again soon"),
        RuntimeError("the secret inside"),
    ]

    async def fail(_session: Session, _command: View) -> Ack:
        raise errors.pop(0)

    logs.expect("command_failed")
    stage = Stage(commands={View: fail})
    client = await stage.joined()
    text = '{"type":"view","proposal_ids":["p"],"request_id":5}'
    for reason in ("not_found", "unavailable", "internal"):
        frame = await client.say(text)
        assert (frame["type"], frame["reason"], frame["request_id"]) == ("error", reason, 5)
        assert "secret" not in json.dumps(frame)
    assert client.frames[-3]["details"] == {"run": {"id": 1}}


@pytest.mark.gen_test
async def test_a_command_of_another_kind_of_session_is_unknown_here() -> None:
    client = await Stage(commands=_echo()).joined()
    frame = await client.say('{"type":"pause"}')
    assert (frame["type"], frame["reason"]) == ("error", "unknown_type")
    assert frame["error"] == "Unknown type 'pause'; known are view, replay"


# Replay and view


@pytest.mark.gen_test
async def test_a_replay_sends_again_and_goes_on_live_without_a_seam() -> None:
    stage = Stage(commands=_echo(), recent_bytes=0)
    client = await stage.joined()
    await stage.publish(6)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stage.log.before_read = lambda: gate
    client.session.on_message(json.dumps({"type": "replay", "from": f"{EPOCH}-3"}))
    await until(lambda: not client.is_live(), "the replay's beginning")
    await stage.publish(2)
    gate.set_result(None)
    await until(client.is_live, "its end")
    await stage.publish(1)
    assert client.seqs == [*range(1, 7), *range(4, 10)]


@pytest.mark.gen_test
async def test_there_is_one_replay_at_a_time() -> None:
    stage = Stage(commands=_echo(), recent_bytes=0)
    client = await stage.joined()
    await stage.publish(3)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stage.log.before_read = lambda: gate
    client.session.replay(0)
    with pytest.raises(ConflictError):
        client.session.replay(0)
    gate.set_result(None)
    await until(client.is_live, "its end")
    assert client.seqs == [1, 2, 3, 1, 2, 3]


@pytest.mark.gen_test
async def test_a_replay_that_fails_ends_the_session_instead_of_leaving_it_deaf(
    logs: LogRecorder,
) -> None:
    stage = Stage(recent_bytes=0)
    await stage.publish(3)
    for error in (StoreUnavailableError("away"), RuntimeError("made up")):
        client = await stage.joined()

        async def fail(*_args: object, error: Exception = error, **_options: object) -> None:
            raise error

        logs.expect("session_failed")
        stage.log.read = fail  # type: ignore[assignment,method-assign]
        client.session.replay(0)
        await until(client.session.is_closing, "the end")
        assert client.frames[-1]["code"] == 1011
        del stage.log.read


@pytest.mark.gen_test
async def test_a_view_holds_from_the_next_event_on() -> None:
    stage = Stage()
    client = await stage.joined()
    other = await stage.joined()
    await stage.show(EventDraft("p1", "test.event", {}, viewers_of("a")))
    client.session.set_view(frozenset({"b"}))
    for name in ("a", "b", "c"):
        await stage.show(EventDraft("p1", "test.event", {}, viewers_of(name)))
    client.session.set_view(None)
    await stage.show(EventDraft("p1", "test.event", {}, viewers_of("a")))
    assert client.seqs == [1, 3, 5]
    assert other.seqs == [1, 2, 3, 4, 5]
