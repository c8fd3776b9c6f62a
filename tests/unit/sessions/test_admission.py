import asyncio
from collections.abc import Sequence

import pytest

from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ProjectFullError, StoreUnavailableError
from rtserver.sessions.admission import Admission
from store.base.client import Database
from store.documents.connections import MongoLeases
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.documents.test_connections import entry


class _Leases(MongoLeases):
    """The registries, with failures and waits where the test wants them."""

    def __init__(self, db: Database, *, lease_s: float = 60.0) -> None:
        super().__init__(db, lease_s=lease_s)
        self.failing: set[str] = set()
        self.renewals = 0
        self.hold_renewal: asyncio.Event | None = None

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise StoreUnavailableError("The database does not answer; try again soon")

    async def register(self, entry: ConnectionRecord, *, limit: int) -> list[ConnectionRecord]:
        self._fail("register")
        return await super().register(entry, limit=limit)

    async def release(self, entry: ConnectionRecord) -> None:
        self._fail("release")
        await super().release(entry)

    async def renew(self, entries: Sequence[ConnectionRecord]) -> None:
        self.renewals += 1
        self._fail("renew")
        if self.hold_renewal is not None:
            await self.hold_renewal.wait()
        await super().renew(entries)

    async def ids(self) -> list[str]:
        return [found.connection_id for found in await self.listed("p1")]


def _admission(
    leases: MongoLeases,
    evicted: list[ConnectionRecord] | None = None,
    *,
    user_limit: int = 5,
    project_limit: int = 50,
    lease_s: float = 60.0,
) -> Admission:
    async def evict(old: ConnectionRecord) -> None:
        (evicted if evicted is not None else []).append(old)

    return Admission(
        leases, user_limit=user_limit, project_limit=project_limit, lease_s=lease_s, evict=evict
    )


@pytest.mark.gen_test
async def test_a_full_project_refuses_the_new_and_keeps_the_old(db: Database) -> None:
    leases = _Leases(db)
    admission = _admission(leases, project_limit=2)
    for name in ("a", "b"):
        await admission.admit(entry(name, user=name))
    with pytest.raises(ProjectFullError, match="2 connections"):
        await admission.admit(entry("c", user="c"))
    await admission.release(entry("a", user="a"))
    await admission.admit(entry("c", user="c"))
    assert await leases.ids() == ["b", "c"]


@pytest.mark.gen_test
async def test_the_users_oldest_is_asked_to_go(db: Database) -> None:
    evicted: list[ConnectionRecord] = []
    admission = _admission(_Leases(db), evicted, user_limit=2)
    for name in ("a", "b", "c"):
        await admission.admit(entry(name))
    assert [old.connection_id for old in evicted] == ["a"]


@pytest.mark.gen_test
async def test_a_connection_that_could_not_be_registered_takes_no_place(db: Database) -> None:
    leases = _Leases(db)
    leases.failing = {"register"}
    admission = _admission(leases)
    with pytest.raises(StoreUnavailableError):
        await admission.admit(entry("a"))
    assert await leases.ids() == []


@pytest.mark.gen_test
async def test_a_place_that_could_not_be_given_back_is_told_and_lapses(
    db: Database, logs: LogRecorder
) -> None:
    leases = _Leases(db, lease_s=0.2)
    admission = _admission(leases, project_limit=1, lease_s=0.2)
    await admission.admit(entry("a"))
    leases.failing = {"release"}
    await admission.release(entry("a"))
    await admission.release(entry("a"))  # once is enough
    assert [line["event"] for line in logs.lines] == ["lease_not_released"]

    async def is_empty() -> bool:
        return not await leases.ids()

    async with running(admission.run()):
        await until(is_empty, "the end of the lease")
    await admission.admit(entry("b"))


@pytest.mark.gen_test
async def test_leases_live_as_long_as_their_worker_and_survive_an_outage(
    db: Database, logs: LogRecorder
) -> None:
    leases = _Leases(db, lease_s=0.6)
    admission = _admission(leases, lease_s=0.6)
    await admission.admit(entry("a"))
    async with running(admission.run()):
        await until(lambda: leases.renewals >= 4, "more than one life of a lease")
        leases.failing = {"renew"}
        await until(
            lambda: [line["event"] for line in logs.lines].count("leases_not_renewed") >= 4,
            "an outage longer than a lease",
        )
        leases.failing = set()
        count = leases.renewals
        await until(lambda: leases.renewals >= count + 2, "a renewal")
        assert await leases.ids() == ["a"]


@pytest.mark.gen_test
async def test_one_who_leaves_during_a_renewal_is_not_put_back_by_it(db: Database) -> None:
    """The place stayed taken until the lease ran out."""
    leases = _Leases(db)
    admission = _admission(leases, lease_s=0.03)
    await admission.admit(entry("a"))
    await admission.admit(entry("b"))
    leases.hold_renewal = asyncio.Event()
    async with running(admission.run()):
        await until(lambda: leases.renewals == 1, "a renewal")
        leaving = asyncio.ensure_future(admission.release(entry("a")))
        for _ in range(5):
            await asyncio.sleep(0)
        leases.hold_renewal.set()
        async with asyncio.timeout(30):
            await leaving
        count = leases.renewals
        await until(lambda: leases.renewals >= count + 2, "renewals after it")
        assert await leases.ids() == ["b"]
