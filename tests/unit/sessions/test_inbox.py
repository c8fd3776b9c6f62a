import asyncio
import json

import pytest

from rtserver.model.errors import NotFoundError, StoreUnavailableError
from rtserver.sessions.client_messages import View
from rtserver.sessions.inbox import MAX_COMMANDS_IN_FLIGHT, MAX_STRIKES
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.session import Session
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.sessions.parts import PING_S, TICK_S, Stage, echo

VIEW = '{"type":"view","proposal_ids":[],"request_id":"r"}'


@pytest.mark.gen_test
async def test_commands_that_come_before_the_welcome_are_answered_after_it() -> None:
    """The answer named position 0, from which a client would have begun again."""
    stage = Stage(commands=echo())
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
    stage = Stage(commands=echo())
    stage.log.before_read = lambda: asyncio.get_running_loop().create_future()
    client = stage.client()
    client.session.start(None)
    for _ in range(MAX_COMMANDS_IN_FLIGHT + 1):
        client.session.on_message(VIEW)
    assert client.types == ["closing"]
    assert client.frames[0]["code"] == 4029
    await stage.tasks.stop()


@pytest.mark.gen_test
async def test_what_cannot_be_used_is_answered_and_too_much_of_it_ends_the_session() -> None:
    stage = Stage(commands=echo())
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
    stage = Stage(commands=echo())
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
    stage = Stage(commands=echo(), max_messages_per_s=2.0, max_message_burst=5)
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
async def test_who_comes_back_after_each_burst_is_held_to_what_a_user_may_send() -> None:
    """Each connection had a burst of its own, and fifty a second may be opened."""
    stage = Stage(commands=echo(), max_messages_per_s=2.0, max_message_burst=4)
    for _ in range(5):
        client = await stage.joined()
        for _ in range(4):
            await client.say(VIEW)
        client.session.on_disconnect(1000)
    client, other = await stage.joined(), await stage.joined(user="ben")
    client.session.on_message(VIEW)
    assert client.frames[-1]["code"] == 4029
    assert (await other.say(VIEW))["type"] == "ack"
    stage.pass_time(1)
    assert (await (await stage.joined()).say(VIEW))["type"] == "ack"


@pytest.mark.gen_test
async def test_frames_without_a_message_count_but_not_the_pongs_that_were_asked_for() -> None:
    stage = Stage(max_messages_per_s=0.001, max_message_burst=5)
    client = await stage.joined()
    for _ in range(20):
        stage.pass_time(PING_S + 2 * TICK_S)
        client.session.on_pong()
    assert not client.session.is_closing()
    for _ in range(5):
        client.session.on_bare_frame()
    assert not client.session.is_closing()
    client.session.on_pong()  # nobody asked
    assert client.frames[-1]["code"] == 4029


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
    client = await Stage(commands=echo()).joined()
    frame = await client.say('{"type":"pause"}')
    assert (frame["type"], frame["reason"]) == ("error", "unknown_type")
    assert frame["error"] == "Unknown type 'pause'; known are view, replay"
