import asyncio

import pytest

from tests.unit.sessions.parts import PING_S, PONG_S, TICK_S, Stage


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
