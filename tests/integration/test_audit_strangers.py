"""What strangers are refused is in a log of its own, and pushes nobody's record out."""

import asyncio
import json

import pytest

from rtserver.app.server import Server
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.strangers import MAX_ADDRESSES, SHARE_BURST
from tests.support.api import api
from tests.support.cli import rtserver_many
from tests.support.mongo import MongodProcess

FLOOD = 30_000
ADDRESSES = 100


@pytest.mark.gen_test
async def test_a_flood_of_strangers_leaves_the_records_of_users_where_they_are(
    server: Server, mongod: MongodProcess, database: str
) -> None:
    address = f"127.0.0.1:{server.port}"
    audit = server.features.audit
    async with (
        api(address, "ada", ()) as ada,
        api(address, token="no.token") as stranger,
        api(address, "root", ("admin",)) as root,
    ):
        await ada.put("/api/v1/projects/p1/lock", {"reason": "Mine"})
        await stranger.get("/api/v1/projects/p1", 401)
        for number in range(FLOOD):
            by = Acting(ip=f"198.51.100.{number % ADDRESSES}", path="/" + "x" * 200)
            audit.auditor.record(Action.TOKEN_REFUSED, Outcome.DENIED, by=by, reason="expired")
        audit.joined.flush()
        await asyncio.wait_for(audit.strangers.auditor.flush(), 20)

        users = (await root.get("/api/v1/audit"))["records"]
        assert [one["target"] for one in users if one["action"] == "lock.acquired"] == ["p1"]
        # Those of strangers are there as well, until their share of it is used up.
        shown = [one for one in users if one["action"] == "token.refused"]
        assert 0 < len(shown) <= SHARE_BURST

        page = await root.get("/api/v1/audit?log=strangers&action=token.*&limit=1000")
        found = page["records"]
        assert page["position"].partition("-")[0] == found[0]["id"].partition("-")[0]
        assert ADDRESSES < len(found) <= MAX_ADDRESSES + ADDRESSES + 1
        assert {(one["actor"], one["outcome"]) for one in found} == {(None, "denied")}
        expired = [one for one in found if one["details"]["reason"] == "expired"]
        assert sum(one["details"].get("count", 1) for one in expired) == FLOOD
        # Its ids and positions are its own.
        after = f"log=strangers&after={found[0]['id']}"
        rest = await root.get(f"/api/v1/audit?{after}&action=token.*&limit=1000")
        assert rest["records"] == found[1:]
        await root.get(f"/api/v1/audit?log=strangers&after={users[0]['id']}", 409)
        await root.get(f"/api/v1/audit?after={found[0]['id']}", 409)
        await root.get("/api/v1/audit?log=others", 400)
        await asyncio.wait_for(audit.auditor.flush(), 20)
        reads = [
            one["details"].get("log")
            for one in (await root.get("/api/v1/audit?action=audit.read&outcome=allowed"))[
                "records"
            ]
        ]
        assert reads == [None, "strangers", "strangers"]

    verified, listed = await asyncio.to_thread(
        rtserver_many,
        *(
            (arguments, {"mongodb_uri": mongod.uri, "mongodb_database": database})
            for arguments in (
                ("audit", "verify", "--json"),
                ("audit", "--log", "strangers", "--json", "--action", "token.*"),
            )
        ),
    )
    report = json.loads(verified.stdout)
    assert (verified.returncode, report["clean"]) == (0, True), report
    assert report["strangers"]["clean"]
    assert report["strangers"]["records"] > len(found)
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [
        one["id"] for one in found
    ]
