import asyncio
import json
from datetime import UTC, datetime

import pytest

from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog import answering
from rtserver.model.audience import viewers_of
from rtserver.model.close_codes import ADVICE, CloseCode
from rtserver.model.errors import ConflictError, StoreUnavailableError
from rtserver.model.events import EventDraft
from rtserver.model.identity import Identity
from rtserver.model.run import RunJson, RunKind, RunState
from rtserver.sessions.client_messages import View
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.services import Ended
from rtserver.sessions.session import Session
from tests.support.fakes import EPOCH
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.support.wire_reader import EventSource
from tests.unit.sessions.parts import PING_S, PONG_S, TICK_S, Stage, echo

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
    assert 60 <= welcome["horizon"].pop("seconds") < 120
    assert welcome == {
        "type": "welcome",
        "connection_id": "c1",
        "user_id": "ada",
        "name": "Ada",
        "project_id": "p1",
        "position": f"{EPOCH}-3",
        "horizon": {"oldest": f"{EPOCH}-1"},
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
    assert client.session in stage.feed.behind, "it has to be told of 6"


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
    assert (len(stage.feed.live), stage.feed.holders, len(stage.wheel)) == (0, 0, 0)


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
        feed = stage.dispatcher.feeds.get("p1")
        assert feed is None or (feed.holders, len(feed.live)) == (0, 0), moment
        assert stage.ended == [Ended(1006, "", by_server=False)]
        assert len(stage.wheel) == 0
        assert client.transport.ended == []
        await stage.publish(1)


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


# Replay and view


@pytest.mark.gen_test
async def test_a_replay_sends_again_and_goes_on_live_without_a_seam() -> None:
    stage = Stage(commands=echo(), recent_bytes=0)
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
    stage = Stage(commands=echo(), recent_bytes=0)
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
@pytest.mark.parametrize("hanging", ["head", "read", "of"])
async def test_who_is_let_in_while_mongodb_hangs_is_told_so(
    monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """Such a client waited for 20 s, welcomed or not."""
    monkeypatch.setattr(answering, "SILENT_S", 0.0)
    monkeypatch.setattr(answering, "SECOND_LOOK_S", 0.0)
    stage = Stage(recent_bytes=0)
    await stage.publish(3)
    never = asyncio.Event()

    async def hang(*_args: object, **_options: object) -> None:
        stage.answering.asked()
        await never.wait()

    monkeypatch.setattr(stage if hanging == "of" else stage.log, hanging, hang)
    client = stage.client()
    client.session.start(f"{EPOCH}-0")
    await until(client.session.is_closing, "the end")
    assert client.frames[-1]["code"] == 1011
    await stage.idle()


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
