"""What the log's own connections make of addresses, refusals, losses and another primary."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo import WriteConcern
from pymongo.errors import AutoReconnect, BulkWriteError

from store.base.client import Database, DatabaseError, connect
from store.log.access import DriverAccess, LogAccess
from store.log.collection import EVENTS, pack_document, prepare_log
from store.log.wire import WireConnection
from store.log.wire_access import WireAccess, is_plain
from tests.support.cutting_proxy import cutting_proxy
from tests.support.mongo import MongodProcess


@pytest.mark.parametrize(
    ("uri", "plain"),
    [
        ("mongodb://localhost", True),
        ("mongodb://%2Frun%2Fmongod.sock/?directConnection=true", True),
        ("mongodb://a,b:27018,[::1]:27019/app?replicaSet=three&socketTimeoutMS=9", True),
        ("mongodb://localhost/?tls=false", True),
        ("mongodb://localhost/?tls=true", False),
        ("mongodb://localhost/?ssl=true", False),
        ("mongodb://localhost/?tlsInsecure=true", False),
        ("mongodb://user:word@localhost", False),
        ("mongodb://user:word@localhost/?tls=true", False),
        ("mongodb://localhost/?tls=true&authMechanism=MONGODB-X509", False),
        ("mongodb+srv://cluster.example.net", False),
    ],
)
def test_what_needs_the_driver_is_left_to_it(uri: str, plain: bool) -> None:
    assert is_plain(uri) is plain


def pack(first: int, identity: Any = None) -> dict[str, Any]:
    items = [{"t": "test.event", "b": "{}"}]
    return pack_document(identity or ObjectId(), "p1", first, items, None)


@pytest.mark.gen_test
@pytest.mark.parametrize("way", [WireAccess, DriverAccess])
async def test_a_refusal_says_which_document_and_why(db: Database, way: Any) -> None:
    await prepare_log(db, EVENTS, 1 << 20)
    access: LogAccess = way(db)
    await access.insert(EVENTS, [pack(1, "mine"), pack(2)])
    for documents, at, key in (
        ([pack(3), pack(4, "mine"), pack(5)], 1, {"_id": 1}),
        ([pack(3)], 0, {"project_id": 1, "first": 1}),
    ):
        with pytest.raises(BulkWriteError) as refused:
            await access.insert(EVENTS, documents)
        (error,) = refused.value.details["writeErrors"]
        assert (error["index"], error["code"], error["keyPattern"]) == (at, 11000, key)
        assert not refused.value.details["writeConcernErrors"]
    firsts = [each["first"] async for each in db[EVENTS].find(sort=[("first", 1)])]
    assert firsts == [1, 2, 3]
    await access.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("way", [WireAccess, DriverAccess])
async def test_what_no_majority_confirmed_is_no_success(db: Database, way: Any) -> None:
    three = db.with_options(write_concern=WriteConcern(w=3, wtimeout=10))
    access: LogAccess = way(three)
    with pytest.raises(DatabaseError) as unconfirmed:
        await access.insert("unconfirmed", [pack(1), pack(2)])
    assert isinstance(unconfirmed.value, BulkWriteError)
    assert unconfirmed.value.details["writeConcernErrors"]
    await access.close()


@pytest.mark.gen_test
async def test_a_connection_that_was_lost_is_made_anew(mongod: MongodProcess, db: Database) -> None:
    async with cutting_proxy(mongod.uri) as proxy:
        client = connect(proxy.uri)
        try:
            access = WireAccess(client[db.name])
            await access.insert("made", [pack(1)])
            first = access.instance
            proxy.cuts_before = 1
            with pytest.raises(AutoReconnect, match="was lost"):
                await access.insert("made", [pack(2)])
            assert access.instance == first
            await access.insert("made", [pack(3)])
            assert access.instance != first
            await access.close()
            await access.insert("made", [pack(4)])
            await access.close()
        finally:
            await asyncio.to_thread(client.close)
    assert [each["first"] async for each in db["made"].find()] == [1, 3, 4]


@pytest.mark.gen_test
async def test_a_cursor_on_what_is_primary_no_more_is_left(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a node answers an open cursor for good, and cut off from the others never has more."""
    access = WireAccess(db)
    async with access.following() as following:
        assert (await following.command({"ping": 1}))["ok"] == 1
        assert following.is_on_primary()
        monkeypatch.setattr(access, "_look", lambda: ("elsewhere", 27017))
        assert not following.is_on_primary()
        with pytest.raises(AutoReconnect, match="another node is primary"):
            await following.command({"ping": 1})


@pytest.mark.gen_test
async def test_an_insert_goes_to_what_is_primary_now(
    mongod: MongodProcess, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = WireAccess(db)
    opened: list[Any] = []
    open_connection = WireConnection.open

    async def noted(address: Any, **times: Any) -> Any:
        opened.append(address)
        return await open_connection(address, **times)

    monkeypatch.setattr(WireConnection, "open", noted)
    async with cutting_proxy(mongod.uri) as proxy:
        for number in (1, 2):
            await access.insert("made", [pack(number)])
        port = int(proxy.uri.rpartition(":")[2].partition("/")[0])
        monkeypatch.setattr(access, "_look", lambda: ("127.0.0.1", port))
        for number in (3, 4):
            await access.insert("made", [pack(number)])
        assert opened[1:] == [("127.0.0.1", port)]
        await access.close()


@pytest.mark.gen_test
async def test_where_the_driver_knows_no_primary_it_looks_for_one(
    mongod: MongodProcess, db: Database
) -> None:
    client = connect(mongod.uri)  # which has not connected yet
    try:
        access = WireAccess(client[db.name])
        await access.insert("made", [pack(1)])
        await access.close()
    finally:
        client.close()
    nobody = connect("mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=50")
    try:
        with pytest.raises(AutoReconnect):
            await WireAccess(nobody[db.name]).insert("made", [pack(2)])
    finally:
        nobody.close()


@pytest.mark.parametrize("way", [WireAccess, DriverAccess])
@pytest.mark.gen_test
async def test_nothing_goes_to_another_primary_than_the_one_that_was_reached(
    db: Database, way: Callable[[Database], LogAccess]
) -> None:
    """The numbers were read of the first, and part of what they counted was not on the second."""
    access = way(db)
    at = await access.ready()
    await access.insert("made", [pack(1)], at=at)
    with pytest.raises(AutoReconnect, match="another node"):
        await access.insert("made", [pack(2)], at="another")
    assert await db["made"].count_documents({}) == 1
    await access.close()
