"""Presence over workers: what viewers are told, how soon, how often, and what a death leaves."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from rtserver.presence.messages import Person
from rtserver.presence.room import Bounds
from rtserver.presence.service import FADE_S
from tests.support import warp
from tests.unit.presence.parts import LEASE_S, PresenceWorker, Watcher, World

SOON_S = 0.5
REFRESHED_S = 2 * LEASE_S + LEASE_S / 3 + 1


def _play(story: Callable[[World, PresenceWorker, PresenceWorker], Awaitable[None]]) -> None:
    """Two workers, on a clock that jumps."""

    async def play() -> None:
        world = World()
        one, other = await world.start("w1"), await world.start("w2")
        await story(world, one, other)
        await world.end()

    warp.run(play())


def test_both_workers_viewers_see_who_comes_moves_and_goes() -> None:
    async def story(_world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        ada, hers = one.watch("ada")
        await asyncio.sleep(SOON_S)
        assert [frame.get("present") for frame in hers.frames] == [
            [{"user_id": "ada", "name": "Ada", "proposal_ids": []}]
        ]
        ben, his = other.watch("ben", at=["x"])
        await asyncio.sleep(SOON_S)
        assert hers.names == his.names == ["ada", "ben"]
        assert hers.read().known["ben"]["proposal_ids"] == ["x"]
        assert "present" in his.frames[0]  # a late joiner gets the whole at once
        ada = one.move(ada, "y")
        await asyncio.sleep(SOON_S)
        assert his.read().known["ada"]["proposal_ids"] == ["y"]
        one.close(ada)
        await asyncio.sleep(FADE_S - SOON_S)
        assert his.names == ["ada", "ben"]
        await asyncio.sleep(2 * SOON_S)
        assert his.names == ["ben"]
        assert ben.project_id not in one.service.rooms  # nobody is there to be told

    _play(story)


def test_a_reload_costs_viewers_nothing() -> None:
    async def story(_world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        ada, _ = one.watch("ada")
        _, his = one.watch("ben")
        _, cleos = other.watch("cleo")
        await asyncio.sleep(SOON_S)
        before = (len(his.frames), len(cleos.frames))
        for worker in (one, other, other, one):
            one.close(ada)
            other.close(ada)
            await asyncio.sleep(1.0)
            ada = worker.open("ada")
            await asyncio.sleep(1.5)
        await asyncio.sleep(2 * LEASE_S)
        assert (len(his.frames), len(cleos.frames)) == before
        assert his.names == cleos.names == ["ada", "ben", "cleo"]

    _play(story)


def test_a_thousand_who_come_and_go_within_a_minute_cost_each_viewer_under_200_frames() -> None:
    """And each is seen on the other worker within half a second of coming, in the midst of it."""

    async def story(_world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        chance = random.Random(5)
        watchers = [one.watch("watcher-1")[1], other.watch("watcher-2")[1]]
        await asyncio.sleep(1)
        before = [len(watcher.frames) for watcher in watchers]

        async def visit(worker: PresenceWorker, far: Watcher, n: int, stay_s: float) -> None:
            await asyncio.sleep(n * 0.055)
            came = worker.open(f"u{n}")
            await asyncio.sleep(SOON_S)
            assert far.read().count < 200
            assert f"u{n}" in far.names
            await asyncio.sleep(stay_s - SOON_S)
            worker.close(came)

        await asyncio.gather(
            *(
                visit(*((one, watchers[1]) if n % 2 else (other, watchers[0])), n, stay_s)
                for n, stay_s in ((n, chance.uniform(1.0, 4.0)) for n in range(1000))
            )
        )
        await asyncio.sleep(FADE_S + 1)
        passed_s = asyncio.get_running_loop().time() - 1
        assert 55 < passed_s < 65
        for watcher, frames in zip(watchers, before, strict=True):
            assert watcher.names == ["watcher-1", "watcher-2"]
            assert 100 < len(watcher.frames) - frames < 200

    _play(story)


def test_a_crowd_that_stays_is_told_in_bounds() -> None:
    async def act() -> None:
        world = World()
        one, other = await world.start("w1", Bounds(people=50)), await world.start("w2")
        _, hers = one.watch("ada")
        people = [(other if n % 2 else one).open(f"u{n}") for n in range(1000)]
        await asyncio.sleep(5)
        assert (hers.read().count, len(hers.names)) == (1001, 50)
        for known in people[:990]:
            (one if known.worker_id == "w1" else other).close(known)
        await asyncio.sleep(5)
        assert hers.read().count == 11
        assert hers.names == sorted(["ada", *(known.user_id for known in people[990:])])
        listed, count = await other.service.present("p1")
        assert (len(listed), count) == (11, 11)
        await world.end()

    warp.run(act())


def test_a_dead_workers_people_are_gone_within_its_lease() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        _, hers = one.watch("ada")
        other.watch("ben")
        await asyncio.sleep(LEASE_S)
        assert hers.names == ["ada", "ben"]
        await world.kill("w2")
        await asyncio.sleep(LEASE_S)
        assert hers.names == ["ada"]
        # What the registry still has of it for a while is not taken for alive.
        one.open("cleo", project="p2")
        await asyncio.sleep(SOON_S)
        assert await one.service.present("p2") == ([Person("cleo", "Cleo")], 1)

    _play(story)


def test_a_worker_that_stops_takes_its_people_along_unless_they_are_back() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        _, hers = one.watch("ada")
        ben, cleo = other.open("ben"), other.open("cleo")
        await asyncio.sleep(SOON_S)
        frames = len(hers.frames)
        other.close(ben)
        other.close(cleo)
        await other.fleet.end()
        await world.kill("w2")
        one.open("ben", "c9")
        await asyncio.sleep(2)
        assert hers.names == ["ada", "ben", "cleo"]
        await asyncio.sleep(2)
        assert hers.names == ["ada", "ben"]
        assert len(hers.frames) == frames + 1

    _play(story)


def test_a_message_that_did_not_come_is_made_up_for() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        _, hers = one.watch("ada")
        await asyncio.sleep(SOON_S)
        world.lose = 1
        other.open("ben")
        await asyncio.sleep(SOON_S)
        assert hers.names == ["ada"]
        other.open("cleo")
        await asyncio.sleep(SOON_S)
        assert hers.names == ["ada", "ben", "cleo"]
        # And where nothing comes after it, within two leases.
        world.lose = 1
        other.open("dora")
        await asyncio.sleep(REFRESHED_S)
        assert "dora" in hers.names

    _play(story)


def test_what_comes_while_the_registry_is_read_is_not_lost() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        ben = other.open("ben")
        await asyncio.sleep(SOON_S)
        other.close(ben)
        await asyncio.sleep(FADE_S - 0.001 + 0.0005)
        world.registry[ben.connection_id] = ben  # its release is late
        _, hers = one.watch("ada")
        cleo = other.open("cleo")
        del world.registry[cleo.connection_id]  # the read was a moment before it
        await asyncio.sleep(SOON_S)
        assert hers.names == ["ada", "cleo"]
        assert world.reads == 2  # once a worker

    _play(story)


def test_who_looks_at_what_is_in_the_registry_before_it_is_told() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        ada = one.open("ada")
        await asyncio.sleep(SOON_S)
        seen: list[frozenset[str]] = []
        world.on_message = lambda sent: seen.append(world.registry[ada.connection_id].looking_at)
        one.move(ada, "x", "y")
        await asyncio.sleep(SOON_S)
        assert seen == [{"x", "y"}]
        assert await other.service.present("p1") == ([Person("ada", "Ada", ("x", "y"))], 1)

    _play(story)


def test_alone_a_worker_tells_nobody() -> None:
    async def act() -> None:
        world = World()
        one = await world.start("w1")
        ada, hers = one.watch("ada")
        one.open("ben")
        one.move(ada, "x")
        await asyncio.sleep(60)
        assert hers.names == ["ada", "ben"]
        assert [sent["op"] for sent in world.messages] == ["hello"]
        assert world.reads == 0
        # One that comes later knows everybody all the same.
        other = await world.start("w2")
        _, cleos = other.watch("cleo")
        await asyncio.sleep(SOON_S)
        assert cleos.names == hers.names == ["ada", "ben", "cleo"]
        await world.end()

    warp.run(act())


def test_a_worker_that_returns_under_its_name_left_its_people_behind() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        _, hers = one.watch("ada")
        ben = other.open("ben")
        await asyncio.sleep(SOON_S)
        await world.kill("w2")
        world.dead.clear()
        del world.registry[ben.connection_id]
        again = await world.start("w2")
        again.open("cleo")
        await asyncio.sleep(SOON_S)
        assert hers.names == ["ada", "cleo"]

    _play(story)


def test_an_outage_of_the_database_makes_nobody_leave() -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        ada, hers = one.watch("ada")
        _, his = other.watch("ben")
        await asyncio.sleep(SOON_S)
        world.is_down = True
        world.trust.outage()
        one.move(ada, "x")
        one.open("cleo")
        await asyncio.sleep(3 * LEASE_S)
        assert hers.names == ["ada", "ben", "cleo"]
        assert his.names == ["ada", "ben"]
        # At first all leases have lapsed.
        world.is_down = False
        world.dead = {"w1", "w2"}
        await asyncio.sleep(LEASE_S / 2)
        world.dead.clear()
        world.trust.over()
        await asyncio.sleep(LEASE_S)
        assert hers.names == his.names == ["ada", "ben", "cleo"]
        assert his.read().known["ada"]["proposal_ids"] == ["x"]
        assert all("left" not in frame for frame in (*hers.frames, *his.frames))

    _play(story)


@pytest.mark.parametrize("projects", [1, 7])
def test_every_project_is_read_again_within_two_leases(projects: int) -> None:
    async def story(world: World, one: PresenceWorker, other: PresenceWorker) -> None:
        watchers = [one.watch("ada", f"c{n}", project=f"p{n}")[1] for n in range(projects)]
        await asyncio.sleep(1)
        for n in range(projects):
            ghost = other.open("ghost", f"g{n}", project=f"p{n}")
            await asyncio.sleep(SOON_S)
            del world.registry[ghost.connection_id]
            other.service.rooms.clear()  # it has forgotten, and tells nobody
        assert all(watcher.names == ["ada", "ghost"] for watcher in watchers)
        reads = world.reads
        await asyncio.sleep(REFRESHED_S)
        assert all(watcher.names == ["ada"] for watcher in watchers)
        assert world.reads - reads <= 2 * projects

    _play(story)
