"""`rtserver.sessions.closer`."""

from dataclasses import replace

import pytest

from rtserver.eventlog.worker_messages import Control
from rtserver.model.close_codes import CloseCode
from rtserver.model.events import CONTROL_PROJECT, StoredEvent
from rtserver.sessions.closer import ConnectionCloser
from rtserver.sessions.table import SessionTable
from tests.support.fakes import MemoryLog
from tests.unit.sessions.parts import Client, Stage


class Fleet:
    """Two workers on one log; the sessions are the first one's."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.stage = Stage()
        self.table = SessionTable()
        self.control = Control(self.log, worker_id="w1")
        self.here = ConnectionCloser(self.table, self.control, worker_id="w1")
        self.elsewhere = ConnectionCloser(
            SessionTable(), Control(self.log, worker_id="w2"), worker_id="w2"
        )

    async def client(self) -> Client:
        client = await self.stage.joined()
        self.table.add(client.session)
        return client

    async def messages(self) -> list[StoredEvent]:
        packs = await self.log.read(CONTROL_PROJECT, after=0, upto=100, limit=100)
        return [event for pack in packs for event in pack.events(after=0, upto=100)]


@pytest.mark.gen_test
async def test_a_connection_of_this_worker_is_closed_at_once() -> None:
    fleet = Fleet()
    client = await fleet.client()
    await fleet.here.close(client.session.entry, CloseCode.FORBIDDEN, "Away with you")
    assert client.frames[-1]["reason"] == "Away with you"
    assert await fleet.messages() == []
    await fleet.stage.idle()


@pytest.mark.gen_test
async def test_another_worker_is_told_and_closes_it() -> None:
    fleet = Fleet()
    client = await fleet.client()
    await fleet.elsewhere.evict(client.session.entry)
    assert not client.session.is_closing()
    for event in await fleet.messages():
        await fleet.control.on_event(event)
    assert client.frames[-1]["code"] == CloseCode.REPLACED.value
    await fleet.stage.idle()


@pytest.mark.gen_test
async def test_a_message_about_a_connection_that_is_gone_does_nothing() -> None:
    fleet = Fleet()
    client = await fleet.client()
    gone = replace(client.session.entry, connection_id="gone")
    await fleet.elsewhere.evict(gone)
    for event in await fleet.messages():
        await fleet.control.on_event(event)
    assert not client.session.is_closing()
    client.session.on_disconnect(None)
    await fleet.stage.idle()
