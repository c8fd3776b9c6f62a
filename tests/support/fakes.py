"""The ends of the core that do I/O, for tests that decide what happens there: sockets and the log.

What is between them is never replaced.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence

from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog.api import READ_BYTES, Fence, Horizon, Published
from rtserver.model.audience import Audience
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventPack, StoredEvent, pack_item
from rtserver.model.visibility import Viewer

EPOCH = "e0e0"


class FakeSink:
    """A socket under the test's control.

    Attributes:
        received: all bytes that reached the other end, in order.
        room: how many bytes the socket takes at once; what is written beyond it waits until
            `finish_write`.
        writes: the writes that have not ended.
        number: what it shows as its descriptor.
    """

    def __init__(self, room: int = 1 << 30) -> None:
        self.received = bytearray()
        self.room = room
        self.writes: list[tuple[bytes, asyncio.Future[None]]] = []
        self.sends = 0
        self.number = -1

    def fileno(self) -> int:
        """There is no descriptor under it; a test that needs one gives it a number."""
        return self.number

    def send_now(self, data: bytes) -> int:
        """Take what there is room for."""
        assert not self.writes, "a send would overtake the write that is in flight"
        self.sends += 1
        taken = data[: self.room]
        self.received += taken
        self.room -= len(taken)
        return len(taken)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Begin a write; at most one is in flight."""
        assert not self.writes, "there may be one write in flight"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writes.append((bytes(data), done))
        return done

    def finish_write(self) -> None:
        """Let the write in flight reach the other end."""
        data, done = self.writes.pop()
        self.received += data
        done.set_result(None)

    def break_write(self) -> None:
        """Let the connection be lost under the write in flight."""
        _, done = self.writes.pop()
        done.set_exception(ConnectionResetError())


class FakeTransport:
    """A connection under the test's control; see `rtserver.sessions.transport.Transport`.

    Attributes:
        ended: `close` with its code and reason, or `abort`.
    """

    def __init__(self, encoding: Encoding = Encoding.WEBSOCKET, room: int = 1 << 30) -> None:
        self.encoding = encoding
        self.sink = FakeSink(room)
        self.pings = 0
        self.ended: list[tuple[str, int | None, str]] = []

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str, retry_after_ms: int | None = None) -> None:
        self.ended.append(("close", code, reason))

    def abort(self) -> None:
        self.ended.append(("abort", None, ""))


class FakeSubscriber:
    """A live connection as the fan-out sees it."""

    def __init__(
        self,
        viewer: Viewer | None = None,
        encoding: Encoding = Encoding.WEBSOCKET,
        room: int = 1 << 30,
    ) -> None:
        self.encoding = encoding
        self.viewer = viewer or Viewer("ada")
        self.sink = FakeSink(room)
        self.outbox = Outbox(self.sink, 1 << 20, lambda: None)
        self.gaps: list[tuple[int, int]] = []

    def send_gap(self, *, requested: int, lost: int) -> None:
        self.gaps.append((requested, lost))


class History:
    """A live connection that notes what it is told, in order.

    Attributes:
        start: where it joined.
        entries: sequence numbers of events, and gaps as (requested, lost).
    """

    def __init__(self, start: int, encoding: Encoding = Encoding.WEBSOCKET) -> None:
        self.encoding = encoding
        self.viewer = Viewer("ada")
        self.start = start
        self.entries: list[int | tuple[int, int]] = []
        self.outbox = Outbox(self, 1 << 30, lambda: None)

    def fileno(self) -> int:
        return -1

    def send_now(self, data: bytes) -> int:
        self.entries += [int(number) for number in re.findall(rb'"id":"[0-9a-z]+-(\d+)"', data)]
        return len(data)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        raise AssertionError("everything is taken at once")

    def send_gap(self, *, requested: int, lost: int) -> None:
        self.entries.append((requested, lost))

    def follow(self) -> tuple[int, set[int]]:
        """Where it stands in the end, and what it was told is lost; every step must join on."""
        seq, lost = self.start, set[int]()
        for entry in self.entries:
            if isinstance(entry, int):
                assert entry == seq + 1, f"{entry} after {seq}"
                seq = entry
            else:
                requested, count = entry
                assert requested == seq, f"a gap after {requested}, at {seq}"
                assert count > 0
                lost |= set(range(seq + 1, seq + count + 1))
                seq += count
        return seq, lost


class NoMembers:
    """Projects without proposals; see `rtserver.delivery.membership.MemberSource`."""

    async def members(self, _project_id: str) -> list[tuple[str, int, frozenset[str]]]:
        return []


class MemoryLog:
    """A log whose content, failures and moments are the test's to choose.

    Attributes:
        packs: what is stored, by project.
        heads: heads that outlive their events.
        failures: so many of the next reads fail.
        reads, read_bytes: how often it was asked, and what it gave out.
        before_read: awaited before each answer; a test holds up a read there, or adds events.
    """

    def __init__(self, epoch: str = EPOCH) -> None:
        self.epoch = epoch
        self.packs: dict[str, list[EventPack]] = {}
        self.heads: dict[str, int] = {}
        self.failures = 0
        self.reads = 0
        self.read_bytes = 0
        self.before_read: Callable[[], asyncio.Future[None] | None] = lambda: None

    def append(self, project_id: str, *drafts: EventDraft) -> EventPack:
        """Store events as one pack."""
        first = self.heads.get(project_id, 0) + 1
        items = [pack_item(draft) for draft in drafts]
        pack = EventPack(project_id, self.epoch, first, first + len(items) - 1, items)
        self.packs.setdefault(project_id, []).append(pack)
        self.heads[project_id] = pack.last
        return pack

    def overwrite(self, project_id: str, upto: int) -> None:
        """Lose the packs that begin at or before a number, as a capped buffer does."""
        self.packs[project_id] = [p for p in self.packs.get(project_id, []) if p.first > upto]

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        """Append; keys are not remembered."""
        await self._answer()
        pack = self.append(drafts[0].project_id, *drafts)
        return Published(self.epoch, pack.first, pack.last)

    async def _answer(self) -> None:
        self.reads += 1
        waiting = self.before_read()
        await (asyncio.sleep(0) if waiting is None else waiting)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("The database does not answer; try again soon")

    async def head(self, project_id: str, *, newest: bool = False) -> int:
        head = self.heads.get(project_id, 0)  # what it is when the question arrives
        await self._answer()
        return head

    async def oldest(self, project_id: str) -> int:
        return (await self.horizon(project_id)).oldest

    async def horizon(self, project_id: str) -> Horizon:
        """What is there was stored a minute ago."""
        await self._answer()
        packs = self.packs.get(project_id)
        if packs:
            return Horizon(packs[0].first, int(time.time()) - 60)
        return Horizon(self.heads.get(project_id, 0) + 1, None)

    async def read(
        self,
        project_id: str,
        *,
        after: int,
        upto: int,
        limit: int,
        limit_bytes: int = READ_BYTES,
    ) -> list[EventPack]:
        found: list[EventPack] = []
        count = size_bytes = 0
        for pack in self.packs.get(project_id, []):
            if pack.last > after and pack.first <= upto and count < limit:
                size_bytes += sum(len(item["b"]) for item in pack.items)
                if found and (size_bytes > limit_bytes or pack.first > found[-1].last + 1):
                    break
                found.append(pack)
                count += len(pack.items)
        await self._answer()
        self.read_bytes += size_bytes
        return found

    async def count(
        self, project_id: str, *, after: int, upto: int, sees: Callable[[Audience], bool]
    ) -> int:
        packs = self.packs.get(project_id, [])
        events = [event for pack in packs for event in pack.events(after=after, upto=upto)]
        await self._answer()
        return sum(sees(event.audience) for event in events)


def draft(project_id: str = "p1", type_: str = "test.event", **fields: object) -> EventDraft:
    """A draft with the least in it."""
    return EventDraft(project_id, type_, fields, ts="2026-01-01T00:00:00.000Z")


def stored(*drafts: EventDraft, first: int = 1, epoch: str = EPOCH) -> list[StoredEvent]:
    """Drafts as events that stand in the log from `first` on."""
    pack = EventPack(
        drafts[0].project_id, epoch, first, first + len(drafts) - 1, [pack_item(d) for d in drafts]
    )
    return pack.events()
