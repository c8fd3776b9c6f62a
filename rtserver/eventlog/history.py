"""History: pages of what a project's log still holds, as one user may see it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtserver.eventlog.api import EventLog
from rtserver.model.audience import AudienceKind
from rtserver.model.events import EventPack, StoredEvent
from rtserver.model.visibility import MemberTable, Viewer, visible

MAX_SCANNED_EVENTS = 20_000
READ_EVENTS = 1_000
PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; an empty set wants all.

    Attributes:
        types: types of events; one that ends in `*` stands for all that begin with the rest.
        proposal_ids: the proposals that they concern.
    """

    types: frozenset[str] = frozenset()
    proposal_ids: frozenset[str] = frozenset()

    def wants(self, type_: str, proposal_id: str | None) -> bool:
        """Whether an event is wanted."""
        if self.proposal_ids and proposal_id not in self.proposal_ids:
            return False
        return not self.types or type_ in self.types or self._wants_prefix(type_)

    def _wants_prefix(self, type_: str) -> bool:
        return any(
            wanted[-1] == "*" and type_.startswith(wanted[:-1]) for wanted in self.types if wanted
        )

    def of_pack(self, pack: EventPack, *, after: int, upto: int) -> list[StoredEvent]:
        """The wanted events of a pack with `after < seq <= upto`."""
        if not self.types and not self.proposal_ids:
            return pack.events(after=after, upto=upto)
        return [
            event
            for index, item in enumerate(pack.items, start=pack.first)
            if after < index <= upto and self.wants(item["t"], item.get("p"))
            for event in pack.events(after=index - 1, upto=index)
        ]


EVERYTHING = EventFilter()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the log.

    Attributes:
        events: what was wanted and may be seen.
        seq: how far the page goes: the next one begins after this.
        more: whether there was more in the log when it was read.
        lost: events after the place that was asked for which are overwritten.
    """

    events: list[StoredEvent]
    seq: int
    more: bool
    lost: int


class History:
    """Reads pages."""

    def __init__(
        self, log: EventLog, load_members: Callable[[str], Awaitable[MemberTable]]
    ) -> None:
        """Make a reader.

        Args:
            log: the log.
            load_members: the members of a project's proposals, as they are now.
        """
        self._log = log
        self._load_members = load_members

    async def page(
        self,
        project_id: str,
        user_id: str,
        *,
        after: int | None,
        limit: int,
        wanted: EventFilter = EVERYTHING,
    ) -> Page:
        """Read what came after a place, by the memberships of now.

        A page ends at `limit` events, and before `PAGE_BYTES` where it has one at least; also after
        so many that were looked at, so that a filter which little passes costs no more than one
        that all passes.

        Args:
            project_id: whose log.
            user_id: who reads.
            after: sequence number; None begins with the oldest.
            limit: at most so many events.
            wanted: which.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        head = await self._log.head(project_id)
        oldest = await self._log.oldest(project_id)
        begin = oldest - 1 if after is None else after
        lost = max(0, min(oldest, head + 1) - 1 - begin)
        first = seq = max(begin, oldest - 1, 0)
        viewer = Viewer(user_id)
        members: MemberTable | None = None
        events: list[StoredEvent] = []
        size_bytes = 0
        while seq < head and len(events) < limit and seq - first < MAX_SCANNED_EVENTS:
            packs = await self._log.read(project_id, after=seq, upto=head, limit=READ_EVENTS)
            if not packs:
                seq = head
            for pack in packs:
                for event in wanted.of_pack(pack, after=seq, upto=head):
                    if event.audience.kind is AudienceKind.MEMBERS and members is None:
                        members = await self._load_members(project_id)
                    table = members or _UNKNOWN
                    if not visible(event.audience, viewer, table.of):
                        continue
                    size_bytes += len(event.payload)
                    if len(events) == limit or (events and size_bytes > PAGE_BYTES):
                        return Page(events, events[-1].seq, True, lost)
                    events.append(event)
                seq = max(seq, min(pack.last, head))
        return Page(events, seq, seq < head, lost)


_UNKNOWN = MemberTable()
