import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ProjectFullError, StoreUnavailableError
from rtserver.sessions.admission import Admission
from store.base.client import Database
from store.documents.connections import MongoLeases
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.documents.test_connections import entry, lapse


class _Leases(MongoLeases):
    """The registries, with failures and waits where the test wants them."""

    def __init__(self, db: Database, *, lease_s: float = 60.0) -> None:
        super().__init__(db, lease_s=lease_s)
        self.failing: set[str] = set()
        self.renewals = 0
        self.admissions = self.registrations = 0
        self.hold_renewal: asyncio.Event | None = None
        self.hold_admit: asyncio.Event | None = None
        self.hold_register: asyncio.Event | None = None

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise StoreUnavailableError("The database does not answer; try again soon")

    async def admit(self, entry: ConnectionRecord, *, limit: int) -> bool:
        self.admissions += 1
        if self.hold_admit is not None:
            await self.hold_admit.wait()
        admitted = await super().admit(entry, limit=limit)
        self._fail("answer of admit")
        return admitted

    async def register(
        self, entry: ConnectionRecord, *, limit: int, oldest: bool = False
    ) -> list[ConnectionRecord]:
        self.registrations += 1
        if self.hold_register is not None:
            await self.hold_register.wait()
        self._fail("register")
        return await super().register(entry, limit=limit, oldest=oldest)

    async def release(self, entry: ConnectionRecord) -> None:
        self._fail("release")
        await super().release(entry)

    async def renew(self, entries: Sequence[ConnectionRecord]) -> set[str]:
        self.renewals += 1
        self._fail("renew")
        if self.hold_renewal is not None:
            await self.hold_renewal.wait()
        return await super().renew(entries)

    async def ids(self) -> list[str]:
        return [found.connection_id for found in await self.listed("p1")]


@dataclass
class _Reach:
    """Notes whom it should reach."""

    evicted: list[ConnectionRecord]
    turned_away: list[ConnectionRecord]

    async def evict(self, entry: ConnectionRecord) -> None:
        self.evicted.append(entry)

    def turn_away(self, entry: ConnectionRecord) -> None:
        self.turned_away.append(entry)

    def behind_bytes(self, _connection_id: str) -> int | None:
        return None


def _admission(
    leases: MongoLeases,
    evicted: list[ConnectionRecord] | None = None,
    *,
    user_limit: int = 5,
    project_limit: int = 50,
    lease_s: float = 60.0,
    turned_away: list[ConnectionRecord] | None = None,
) -> Admission:
    return Admission(
        leases,
        _Reach([] if evicted is None else evicted, [] if turned_away is None else turned_away),
        user_limit=user_limit,
        project_limit=project_limit,
        lease_s=lease_s,
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


@pytest.mark.parametrize("failing", ["answer of admit", "register"])
@pytest.mark.gen_test
async def test_a_connection_that_could_not_be_let_in_takes_no_place(
    db: Database, failing: str
) -> None:
    leases = _Leases(db)
    leases.failing = {failing}
    admission = _admission(leases)
    with pytest.raises(StoreUnavailableError):
        await admission.admit(entry("a"))

    async def is_empty() -> bool:
        return not await leases.ids()

    async with running(admission.run()):
        await until(is_empty, "the place given back")


@pytest.mark.gen_test
async def test_who_could_not_have_another_told_to_go_has_no_place(db: Database) -> None:
    """It was refused, and its place renewed for as long as the worker lived."""

    class Unreached(_Reach):
        async def evict(self, entry: ConnectionRecord) -> None:
            raise StoreUnavailableError("The event log did not confirm in time")

    leases = _Leases(db)
    admission = Admission(leases, Unreached([], []), user_limit=1, project_limit=50, lease_s=0.03)
    await admission.admit(entry("a"))
    with pytest.raises(StoreUnavailableError):
        await admission.admit(entry("b"))

    async def is_gone() -> bool:
        return "b" not in await leases.ids()

    async with running(admission.run()):
        await until(is_gone, "the place given back")
        count = leases.renewals
        await until(lambda: leases.renewals >= count + 2, "renewals after it")
        assert await leases.ids() == ["a"]


@pytest.mark.gen_test
async def test_a_renewal_while_one_is_let_in_does_not_take_it_for_lost(
    db: Database, logs: LogRecorder
) -> None:
    leases = _Leases(db)
    evicted: list[ConnectionRecord] = []
    admission = _admission(leases, evicted, user_limit=1, lease_s=0.03)
    await admission.admit(entry("a"))
    leases.hold_register = asyncio.Event()
    async with running(admission.run()):
        coming = asyncio.ensure_future(admission.admit(entry("b")))
        await until(lambda: leases.registrations == 2, "the user's registry to be asked")
        count = leases.renewals
        await until(lambda: leases.renewals >= count + 2, "renewals meanwhile")
        leases.hold_register.set()
        await coming
        count = leases.renewals
        await until(lambda: leases.renewals >= count + 2, "renewals after it")
    assert {old.connection_id for old in evicted} == {"a"}
    assert "b" in await leases.ids()


@pytest.mark.gen_test
async def test_one_who_leaves_while_it_is_let_in_anew_stops_no_renewal(
    db: Database, logs: LogRecorder
) -> None:
    """A renewal ended with a KeyError, and the places of others went unrenewed."""
    leases = _Leases(db)
    turned_away: list[ConnectionRecord] = []
    slow = _admission(leases, project_limit=1, lease_s=0.03, turned_away=turned_away)
    await slow.admit(entry("a"))
    await lapse(db, "a")
    await _admission(_Leases(db), project_limit=1).admit(entry("b", user="ben", worker="w2"))
    leases.hold_admit = asyncio.Event()
    async with running(slow.run()):
        await until(lambda: leases.admissions == 2, "it to be let in anew")
        leaving = asyncio.ensure_future(slow.release(entry("a")))
        for _ in range(5):
            await asyncio.sleep(0)
        leases.hold_admit.set()
        await leaving
    assert [one.connection_id for one in turned_away] == ["a"]
    assert "leases_not_renewed" not in {line["event"] for line in logs.lines}


@pytest.mark.gen_test
async def test_who_lost_a_place_to_others_is_let_in_anew_or_closed(
    db: Database, logs: LogRecorder
) -> None:
    """A worker that stood still went on with ten connections of a user who may have five."""
    evicted: list[ConnectionRecord] = []
    turned_away: list[ConnectionRecord] = []
    leases = _Leases(db)
    slow = _admission(
        leases, evicted, user_limit=2, project_limit=4, lease_s=0.1, turned_away=turned_away
    )
    other = _admission(_Leases(db), user_limit=2, project_limit=4)
    for name, user in (("a1", "ada"), ("a2", "ada"), ("b1", "ben")):
        await slow.admit(entry(name, user=user))
    await lapse(db, "a1", "a2", "b1")
    for name, user in (("a3", "ada"), ("a4", "ada"), ("e1", "eve"), ("f1", "fay")):
        await other.admit(entry(name, user=user, worker="w2"))
    await other.release(entry("f1", user="fay", worker="w2"))
    async with running(slow.run()):
        await until(lambda: len(evicted) + len(turned_away) >= 2, "two that are too many")
        await until(lambda: leases.renewals >= 4, "renewals after it")
    # One had room in the project. Ada's is her oldest, and what she opened since stays.
    listed = await leases.ids()
    assert len(listed) <= 4
    assert {"a3", "a4", "e1"} <= set(listed)
    ours = {old.connection_id for old in (*evicted, *turned_away)}
    assert {"a1", "a2"} <= ours
    assert ours | set(listed) == {"a1", "a2", "b1", "a3", "a4", "e1"}
    assert "places_lost" in {line["event"] for line in logs.lines}


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
