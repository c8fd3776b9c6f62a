"""`rtserver.sessions.table`."""

from dataclasses import replace

import pytest

from rtserver.model.close_codes import CloseCode
from rtserver.sessions.table import SessionTable
from tests.unit.sessions.parts import Stage


@pytest.mark.gen_test
async def test_a_session_is_closed_by_the_id_of_its_connection() -> None:
    stage, table = Stage(), SessionTable()
    client = await stage.joined()
    table.add(client.session)
    table.close("another", CloseCode.FORBIDDEN)
    assert not client.session.is_closing()
    table.close(client.session.entry.connection_id, CloseCode.FORBIDDEN, "Away with you")
    closing = client.frames[-1]
    assert (closing["code"], closing["reason"]) == (4003, "Away with you")
    await stage.idle()


@pytest.mark.gen_test
async def test_those_of_a_project_are_closed_or_all() -> None:
    stage, table = Stage(), SessionTable()
    one, two = await stage.joined(project_id="p1"), await stage.joined(project_id="p2")
    # The stage gives all its connections one id.
    for client, connection_id in ((one, "c1"), (two, "c2")):
        client.session.entry = replace(client.session.entry, connection_id=connection_id)
        table.add(client.session)
    table.close_all(CloseCode.GOING_AWAY, "p2")
    assert (one.session.is_closing(), two.session.is_closing()) == (False, True)
    table.close_all(CloseCode.GOING_AWAY)
    assert one.session.is_closing()
    await stage.idle()


@pytest.mark.gen_test
async def test_what_waits_is_known_for_as_long_as_the_session_is_there() -> None:
    stage, table = Stage(), SessionTable()
    client = await stage.joined(room=0)
    connection_id = client.session.entry.connection_id
    assert table.behind_bytes(connection_id) is None
    table.add(client.session)
    assert table.behind_bytes(connection_id) == client.session.outbox.pending_bytes > 0
    table.remove(client.session)
    assert table.behind_bytes(connection_id) is None
    client.session.on_disconnect(None)
    await stage.idle()
