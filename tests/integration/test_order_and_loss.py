"""Every client ends with each event it may see exactly once and in order, or is told of the rest.

hypothesis makes up scenarios: several publishers on two workers, and clients that connect, vanish
and resume. They are played on real workers, on a log with room for everything and on one that is
overwritten meanwhile.
"""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtserver.model.close_codes import CloseCode
from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.mongo import MongodProcess
from tests.support.sockets import (
    Frame,
    SocketClient,
    SocketClosedError,
    is_event,
    open_socket,
    seq_of,
)
from tests.support.workers import Worker, Workers

PLAY_S = 60.0
PROPOSALS = ("a", "b")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Batch:
    """What a publisher hands in at once."""

    worker: int
    count: int
    proposal_id: str | None
    size_bytes: int


@dataclass(frozen=True)
class Stay:
    """One connection of a client: how much it takes in, how it goes, and for how long.

    It is away until so many more events were published than when it left.
    """

    worker: int
    take: int
    vanish: bool
    away: int


@dataclass(frozen=True)
class ClientPlan:
    view: tuple[str, ...]
    stays: list[Stay]


@dataclass(frozen=True)
class Scenario:
    publishers: list[list[Batch]]
    clients: list[ClientPlan]


WORKER = st.integers(0, 1)
BATCHES = st.builds(
    Batch,
    worker=WORKER,
    count=st.integers(1, 20),
    proposal_id=st.sampled_from([None, *PROPOSALS]),
    size_bytes=st.sampled_from([10, 300, 40_000]),
)
STAYS = st.builds(
    Stay,
    worker=WORKER,
    take=st.integers(0, 60),
    vanish=st.booleans(),
    away=st.integers(0, 200),
)
CLIENTS = st.builds(
    ClientPlan,
    view=st.sampled_from([(), (), ("a",), ("a", "b"), ("none",)]),
    stays=st.lists(STAYS, min_size=1, max_size=3),
)
SCENARIOS = st.builds(
    Scenario,
    publishers=st.lists(st.lists(BATCHES, min_size=4, max_size=12), min_size=2, max_size=3),
    clients=st.lists(CLIENTS, min_size=2, max_size=4),
)


@dataclass
class Log:
    """What was published, as the answers to the publishers say.

    Attributes:
        events: data and proposal of each sequence number.
    """

    events: dict[int, tuple[Any, str | None]] = field(default_factory=dict)
    finished: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, seq: int, data: object, proposal_id: str | None) -> None:
        assert seq not in self.events, "a number was given twice"
        self.events[seq] = (data, proposal_id)
        self._wake()

    def finish(self) -> None:
        assert sorted(self.events) == list(range(1, len(self.events) + 1)), "there are holes"
        self.finished = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def grown(self, count: int) -> None:
        while len(self.events) < count and not self.finished:
            await self.changed.wait()

    def visible(self, seqs: range, view: tuple[str, ...]) -> list[int]:
        return [
            seq
            for seq in seqs
            if not view or self.events[seq][1] is None or self.events[seq][1] in view
        ]


async def publish(service: Api, project: str, batch: Batch, log: Log, name: str) -> None:
    data = [f"{name}.{number}".ljust(batch.size_bytes, ".") for number in range(batch.count)]
    events = [{"type": "test.event", "data": text} for text in data]
    if batch.proposal_id is not None:
        events = [{**event, "proposal_id": batch.proposal_id} for event in events]
    answer = await service.post(f"/api/v1/projects/{project}/events", {"events": events})
    for event_id, text in zip(answer["ids"], data, strict=True):
        log.add(seq_of(event_id), text, batch.proposal_id)


@dataclass
class Connection:
    """What a client got on one connection."""

    asked: str | None
    frames: list[Frame]


async def live(
    addresses: list[str], project: str, user: str, plan: ClientPlan, log: Log
) -> list[Connection]:
    """Live a client's life, its last connection up to the end of the log."""
    connections: list[Connection] = []
    last: str | None = None

    async def stay(worker: int, enough: Callable[[SocketClient], bool], vanish: bool) -> bool:
        """Connect, and take in enough; whether the server let the client stay so long."""
        nonlocal last
        client = await open_socket(
            addresses[worker], project, user=user, last_event_id=last, proposal_ids=plan.view
        )
        client.last_event_id = last
        stayed = True
        try:
            while not enough(client):
                with contextlib.suppress(TimeoutError):  # the end may be known after its frame
                    await client.recv(0.1)
        except SocketClosedError as closed:
            if closed.code != CloseCode.TOO_SLOW or client.frames.pop()["type"] != "closing":
                raise
            stayed = False
        finally:
            await (client.vanish() if vanish else client.close())
        connections.append(Connection(last, client.frames))
        last = client.last_event_id
        return stayed

    for each in plan.stays:
        enough = functools.partial(taken, count=each.take, log=log)
        await stay(each.worker, enough, each.vanish)
        await log.grown(len(log.events) + each.away)
    while not await stay(0, functools.partial(at_end, log=log), vanish=False):
        pass
    return connections


def taken(client: SocketClient, count: int, log: Log) -> bool:
    return len(client.events) >= count or at_end(client, log)


def at_end(client: SocketClient, log: Log) -> bool:
    if not log.finished or client.last_event_id is None:
        return False
    return seq_of(client.last_event_id) == len(log.events) and caught_up(client)


def caught_up(client: SocketClient) -> bool:
    """Whether all that the welcome promised has come."""
    if not client.frames:
        return False
    replayed: int = client.frames[0]["resume"]["replayed"]
    return len(client.events) >= replayed


def check(connections: list[Connection], plan: ClientPlan, log: Log) -> int:
    """Hold a client's life against the log; how many events were declared lost."""
    lost = 0
    for connection in connections:
        if connection.frames:
            lost += check_connection(connection, plan.view, log)
    return lost


def check_connection(connection: Connection, view: tuple[str, ...], log: Log) -> int:
    """Hold what came on one connection against the log; how many events were declared lost."""
    welcome, *frames = connection.frames
    assert welcome["type"] == "welcome"
    resume = welcome["resume"]
    tip = seq_of(welcome["position"])
    asked = tip if connection.asked is None else seq_of(connection.asked)
    outcome = resume["outcome"]
    gaps = [frame for frame in frames if frame["type"] == "gap"]
    assert len(gaps) <= 1
    if connection.asked is None:
        assert outcome == "fresh"
    elif asked == tip:
        assert outcome == "nothing_missed"
    else:
        assert outcome in ("replayed", "lost")
    if outcome == "replayed" and not gaps:
        assert resume["replayed"] == len(log.visible(range(asked + 1, tip + 1), view))
    if outcome == "lost":
        assert resume["lost"] == tip - asked
        if not frames:
            return tip - asked  # it left before it read the gap, and takes up after it
        assert frames[0] is gaps[0]
        assert gaps[0]["lost"] == tip - asked

    at, lost = asked, 0
    for frame in frames:
        if frame["type"] == "gap":
            assert seq_of(frame["requested"]) == at or view
            at, lost = seq_of(frame["requested"]) + frame["lost"], frame["lost"]
        elif is_event(frame):
            seq = seq_of(frame["id"])
            # All that is between this event and the last is what this client may not see.
            assert log.visible(range(at + 1, seq + 1), view) == [seq]
            data, proposal_id = log.events[seq]
            assert frame["data"] == data
            assert frame.get("proposal_id") == proposal_id
            at = seq
        else:
            assert frame["type"] == "position"
            seq = seq_of(frame["id"])
            assert log.visible(range(at + 1, seq + 1), view) == []
            at = max(at, seq)
    return lost


async def play(addresses: list[str], scenario: Scenario) -> int:
    """Play a scenario; how many events clients were told that they had lost."""
    project = f"scenario-{next(_numbers)}"
    log = Log()

    async def publisher(name: int, batches: list[Batch], services: list[Api]) -> None:
        for number, batch in enumerate(batches):
            await publish(services[batch.worker], project, batch, log, f"{name}.{number}")

    async with (
        asyncio.timeout(PLAY_S),
        api(addresses[0]) as one,
        api(addresses[1]) as other,
        asyncio.TaskGroup() as group,
    ):
        lives = [
            group.create_task(live(addresses, project, f"user-{number}", plan, log))
            for number, plan in enumerate(scenario.clients)
        ]
        async with asyncio.TaskGroup() as publishers:
            for number, batches in enumerate(scenario.publishers):
                publishers.create_task(publisher(number, batches, [one, other]))
        # Of a number that all can see, so that everybody's last position is the end.
        await publish(one, project, Batch(0, 1, None, 10), log, "end")
        log.finish()
    return sum(
        check(one_life.result(), plan, log)
        for one_life, plan in zip(lives, scenario.clients, strict=True)
    )


COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def addresses_of(*workers: Worker) -> list[str]:
    return [worker.address for worker in workers]


@given(scenario=SCENARIOS)
@settings(max_examples=3, **COMMON)  # type: ignore[arg-type]
def test_with_room_for_everything_nothing_is_lost(pair: Pair, scenario: Scenario) -> None:
    assert asyncio.run(play(addresses_of(pair.one, pair.other), scenario)) == 0


@pytest.mark.soak
@given(scenario=SCENARIOS)
@settings(max_examples=300, **COMMON)  # type: ignore[arg-type]
def test_with_room_for_everything_at_length(pair: Pair, scenario: Scenario) -> None:
    assert asyncio.run(play(addresses_of(pair.one, pair.other), scenario)) == 0


@pytest.fixture(scope="module")
def _tight_pair(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    with mongod.fresh_database() as name:
        workers = Workers(
            tmp_path_factory.mktemp("tight"),
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "event_log_bytes": 4 * 1024 * 1024,
                "recent_events_bytes": 256 * 1024,
            },
        )
        workers.start_many(2)
        yield workers
        problems = workers.stop()
    assert not problems


@pytest.fixture
def tight_pair(_tight_pair: Workers) -> Iterator[Workers]:
    """Two workers whose log holds what a scenario or two publish."""
    yield _tight_pair
    assert _tight_pair.unexpected() == []


@given(scenario=SCENARIOS)
@settings(max_examples=3, **COMMON)  # type: ignore[arg-type]
def test_what_is_overwritten_is_told_exactly(tight_pair: Workers, scenario: Scenario) -> None:
    asyncio.run(play(addresses_of(*tight_pair.all), scenario))


@pytest.mark.soak
@given(scenario=SCENARIOS)
@settings(max_examples=300, **COMMON)  # type: ignore[arg-type]
def test_what_is_overwritten_is_told_at_length(tight_pair: Workers, scenario: Scenario) -> None:
    asyncio.run(play(addresses_of(*tight_pair.all), scenario))


def test_a_long_absence_ends_in_one_gap(tight_pair: Workers) -> None:
    """What the scenarios may miss: away while the whole log is overwritten."""
    away = Stay(worker=0, take=3, vanish=True, away=200)
    publisher = [Batch(n % 2, 10, "b", 40_000) for n in range(30)]
    plans = [ClientPlan(view, [away]) for view in ((), ("a", "b"))]
    assert asyncio.run(play(addresses_of(*tight_pair.all), Scenario([publisher], plans))) > 200
