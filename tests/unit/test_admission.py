import asyncio
from collections.abc import Sequence

import pytest

from rtserver.admission import Admission, Entry, ProjectFullError
from rtserver.errors import StoreUnavailableError
from rtserver.tasks import TaskOwner
from store.client import Database
from store.leases import MongoLeases
from tests.support.recorder import LogRecorder
from tests.unit.test_store_leases import entry
from tests.unit.waiting import running, until


class _Leases(MongoLeases):
    """The registries, with failures and waits where the test wants them."""

    def __init__(self, db: Database, *, lease_s: float = 60.0) -> None:
        super().__init__(db, lease_s=lease_s)
        self.failing: set[str] = set()
        self.changes = 0
        self.wanted: list[int] = []
        self.hold: asyncio.Event | None = None

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise StoreUnavailableError("The database does not answer; try again soon")

    async def take_places(
        self, project_id: str, worker_id: str, *, held: int, wanted: int, limit: int
    ) -> int:
        self.changes += 1
        self.wanted.append(wanted)
        self._fail("places")
        if self.hold is not None:
            await self.hold.wait()
        return await super().take_places(
            project_id, worker_id, held=held, wanted=wanted, limit=limit
        )

    async def register(self, entry: Entry, *, limit: int) -> list[Entry]:
        self._fail("register")
        return await super().register(entry, limit=limit)

    async def unregister(self, entry: Entry) -> None:
        self._fail("unregister")
        await super().unregister(entry)

    async def renew_users(self, entries: Sequence[Entry]) -> None:
        self._fail("renew")
        await super().renew_users(entries)


@pytest.fixture
def tasks() -> TaskOwner:
    return TaskOwner()


def _admission(
    leases: MongoLeases,
    tasks: TaskOwner,
    evicted: list[Entry] | None = None,
    *,
    worker_id: str = "w1",
    user_limit: int = 5,
    project_limit: int = 50,
    lease_s: float = 60.0,
) -> Admission:
    async def evict(old: Entry) -> None:
        (evicted if evicted is not None else []).append(old)

    return Admission(
        leases,
        tasks,
        worker_id=worker_id,
        user_limit=user_limit,
        project_limit=project_limit,
        lease_s=lease_s,
        evict=evict,
    )


@pytest.mark.gen_test
async def test_a_full_project_refuses_the_new_and_keeps_the_old(
    db: Database, tasks: TaskOwner
) -> None:
    leases = _Leases(db)
    admission = _admission(leases, tasks, project_limit=2)
    for name in ("a", "b"):
        await admission.admit(entry(name, user=name))
    with pytest.raises(ProjectFullError, match="2 connections"):
        await admission.admit(entry("c", user="c"))
    await admission.release(entry("a", user="a"))
    await admission.admit(entry("c", user="c"))
    assert await leases.counted("p1") == 2


@pytest.mark.gen_test
async def test_who_comes_at_once_shares_a_change_and_nobody_gets_in_beyond_the_limit(
    db: Database, tasks: TaskOwner
) -> None:
    leases = _Leases(db)
    workers = [
        _admission(leases, tasks, worker_id=f"w{n}", project_limit=50, user_limit=1000)
        for n in range(4)
    ]
    results = await asyncio.gather(
        *(workers[n % 4].admit(entry(f"c{n}", user=f"u{n}")) for n in range(200)),
        return_exceptions=True,
    )
    assert [type(result) for result in results].count(ProjectFullError) == 150
    assert await leases.counted("p1") == 50
    assert leases.changes < 30, "changes are shared"
    admitted = [n for n, result in enumerate(results) if result is None]
    await asyncio.gather(*(workers[n % 4].release(entry(f"c{n}", user=f"u{n}")) for n in admitted))
    assert await leases.counted("p1") == 0


@pytest.mark.gen_test
async def test_who_gives_up_while_waiting_keeps_no_place(db: Database, tasks: TaskOwner) -> None:
    leases = _Leases(db)
    admission = _admission(leases, tasks, project_limit=1)
    leases.hold = asyncio.Event()
    waiting = asyncio.ensure_future(admission.admit(entry("a")))
    await until(lambda: leases.changes == 1, "the change")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    leases.hold.set()
    await until(lambda: len(tasks) == 0, "the change's end")
    assert await leases.counted("p1") == 0
    await admission.admit(entry("b"))


@pytest.mark.gen_test
async def test_the_users_oldest_is_asked_to_go(db: Database, tasks: TaskOwner) -> None:
    evicted: list[Entry] = []
    admission = _admission(_Leases(db), tasks, evicted, user_limit=2)
    for name in ("a", "b", "c"):
        await admission.admit(entry(name))
    assert [old.connection_id for old in evicted] == ["a"]


@pytest.mark.gen_test
async def test_a_connection_that_could_not_be_registered_takes_no_place(
    db: Database, tasks: TaskOwner
) -> None:
    leases = _Leases(db)
    leases.failing = {"register"}
    admission = _admission(leases, tasks)
    with pytest.raises(StoreUnavailableError):
        await admission.admit(entry("a"))
    assert await leases.counted("p1") == 0


@pytest.mark.gen_test
async def test_without_the_registry_nobody_is_let_in_and_all_are_told(
    db: Database, tasks: TaskOwner
) -> None:
    leases = _Leases(db)
    leases.failing = {"places"}
    admission = _admission(leases, tasks)
    results = await asyncio.gather(
        *(admission.admit(entry(f"c{n}")) for n in range(5)), return_exceptions=True
    )
    assert {type(result) for result in results} == {StoreUnavailableError}
    leases.failing = set()
    await admission.admit(entry("a"))
    assert await leases.counted("p1") == 1


@pytest.mark.gen_test
async def test_a_place_that_could_not_be_given_back_is_told_and_lapses(
    db: Database, tasks: TaskOwner, logs: LogRecorder
) -> None:
    leases = _Leases(db, lease_s=0.2)
    admission = _admission(leases, tasks, project_limit=1, lease_s=0.2)
    await admission.admit(entry("a"))
    leases.failing = {"unregister", "places"}
    await admission.release(entry("a"))
    await admission.release(entry("a"))  # once is enough
    assert sorted(line["event"] for line in logs.lines) == [
        "lease_not_released",
        "places_not_given_back",
    ]
    leases.failing = set()

    async def is_empty() -> bool:
        return not await leases.counted("p1")

    await until(is_empty, "the end of the lease")
    await admission.admit(entry("b"))


@pytest.mark.gen_test
async def test_leases_live_as_long_as_their_worker_and_survive_an_outage(
    db: Database, tasks: TaskOwner, logs: LogRecorder
) -> None:
    leases = _Leases(db, lease_s=0.6)
    admission = _admission(leases, tasks, lease_s=0.6)
    await admission.admit(entry("a"))
    async with running(admission.run()):
        await until(lambda: leases.changes >= 5, "more than one life of a lease")
        leases.failing = {"renew", "places"}
        await until(
            lambda: [line["event"] for line in logs.lines].count("leases_not_renewed") >= 4,
            "an outage longer than a lease",
        )
        leases.failing = set()
        count = leases.changes
        await until(lambda: leases.changes >= count + 2, "a renewal")
        assert await leases.counted("p1") == 1


@pytest.mark.gen_test
async def test_one_who_leaves_during_a_renewal_is_not_put_back_by_it(
    db: Database, tasks: TaskOwner
) -> None:
    """The place stayed taken until the lease ran out."""
    leases = _Leases(db)
    admission = _admission(leases, tasks, lease_s=0.03)
    await admission.admit(entry("a"))
    await admission.admit(entry("b"))
    leases.hold = asyncio.Event()
    before = leases.changes
    async with running(admission.run()):
        await until(lambda: leases.changes > before, "a renewal")
        leaving = asyncio.ensure_future(admission.release(entry("a")))
        for _ in range(5):
            await asyncio.sleep(0)
        leases.hold.set()
        async with asyncio.timeout(30):
            await leaving
        assert await leases.counted("p1") == 1
        count = leases.changes
        await until(lambda: leases.changes >= count + 2, "renewals after it")
        assert await leases.counted("p1") == 1
