"""A presence room: who is in one project, as one worker knows it. No I/O and no clock.

People, not connections: a user with three windows is one person who looks at what all of them show.
Viewers are told the first so many people, in the order in which they came, and how many there are.
When one of those leaves, the next takes the place, so that every viewer's list is always the
worker's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from rtserver.model.connection import ConnectionRecord
from rtserver.presence.messages import Person, Presence

MAX_LISTED = 200
MAX_LIST_BYTES = 48 * 1024
MAX_PLACES = 10

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a project's people is told.

    Attributes:
        people: at most so many are listed.
        frame_bytes: at most so large is a list, as JSON.
    """

    people: int = MAX_LISTED
    frame_bytes: int = MAX_LIST_BYTES


class Room:
    """See the module.

    Attributes:
        project_id: which project.
        loaded: whether the people of the other workers are known.
    """

    __slots__ = (
        "_bounds",
        "_dirty",
        "_fading",
        "_known",
        "_local",
        "_remote",
        "loaded",
        "project_id",
    )

    def __init__(self, project_id: str, bounds: Bounds) -> None:
        self.project_id = project_id
        self.loaded = False
        self._bounds = bounds
        self._local: dict[str, list[ConnectionRecord]] = {}
        self._fading: dict[str, tuple[float, ConnectionRecord]] = {}
        self._remote: dict[str, dict[str, Person]] = {}
        self._known: dict[str, Person] = {}
        self._dirty: dict[str, None] = {}

    # This worker's people

    def arrive(self, entry: ConnectionRecord) -> bool:
        """A connection came; whether that is news to the other workers."""
        user_id = entry.user_id
        before = self.here(user_id)
        # Others may have read meanwhile that the user has no connection left.
        was_fading = self._fading.pop(user_id, None) is not None
        self._local.setdefault(user_id, []).append(entry)
        return self._changed(user_id, before) or was_fading

    def depart(self, entry: ConnectionRecord, until_s: float) -> bool:
        """A connection went. With the last one the user stays on until `fade`.

        Returns:
            Whether that is news to the other workers.
        """
        user_id = entry.user_id
        before = self.here(user_id)
        left = self._without(entry)
        if left:
            self._local[user_id] = left
        else:
            self._local.pop(user_id, None)
            self._fading[user_id] = (until_s, entry)
        return self._changed(user_id, before)

    def move(self, entry: ConnectionRecord) -> bool:
        """A connection shows something else now; whether that is news to the other workers."""
        before = self.here(entry.user_id)
        self._local[entry.user_id] = [*self._without(entry), entry]
        return self._changed(entry.user_id, before)

    def fade(self, user_id: str, now_s: float) -> bool:
        """A user has had no connection for a while; whether they were still here."""
        until_s, _ = self._fading.get(user_id, (float("inf"), None))
        if now_s < until_s:
            return False  # they came back, or left again later
        del self._fading[user_id]
        self._dirty[user_id] = None
        return True

    def _without(self, entry: ConnectionRecord) -> list[ConnectionRecord]:
        entries = self._local.get(entry.user_id, ())
        return [known for known in entries if known.connection_id != entry.connection_id]

    def _changed(self, user_id: str, before: Person | None) -> bool:
        if self.here(user_id) == before:
            return False
        self._dirty[user_id] = None
        return True

    def here(self, user_id: str) -> Person | None:
        """A user as this worker's connections show them; None where there are none."""
        entries: Sequence[ConnectionRecord] = self._local.get(user_id, ())
        if not entries:
            if user_id not in self._fading:
                return None
            entries = (self._fading[user_id][1],)
        return _person(entries)

    def is_empty(self) -> bool:
        """Whether nobody is here on this worker: nobody needs to be told anything."""
        return not self._local and not self._fading

    # The other workers' people

    def hear(self, worker_id: str, present: Iterable[Person], gone: Iterable[str]) -> None:
        """Another worker told what changed."""
        people = self._remote.setdefault(worker_id, {})
        for person in present:
            if people.get(person.user_id) != person:
                people[person.user_id] = person
                self._dirty[person.user_id] = None
        for user_id in gone:
            if people.pop(user_id, None) is not None:
                self._dirty[user_id] = None
        if not people:
            del self._remote[worker_id]

    def load(self, entries: Iterable[ConnectionRecord]) -> None:
        """Take over which connections the other workers have, by the registry."""
        found: dict[str, dict[str, list[ConnectionRecord]]] = {}
        for entry in entries:
            found.setdefault(entry.worker_id, {}).setdefault(entry.user_id, []).append(entry)
        for worker_id in {*self._remote, *found}:
            people = [_person(of_user) for of_user in found.get(worker_id, {}).values()]
            known = self._remote.get(worker_id, {})
            self.hear(worker_id, people, set(known).difference(found.get(worker_id, ())))
        self.loaded = True

    def lose(self, worker_id: str) -> bool:
        """A worker is no more; whether that changed anything."""
        people = self._remote.pop(worker_id, {})
        self._dirty.update(dict.fromkeys(people))
        return bool(people)

    # Together

    def _now(self, user_id: str) -> Person | None:
        here = self.here(user_id)
        views = [] if here is None else [here]
        views += [people[user_id] for people in self._remote.values() if user_id in people]
        if len(views) <= 1:
            return views[0] if views else None
        return Person(user_id, views[0].name, _places(view.proposal_ids for view in views))

    def _everyone(self) -> dict[str, Person]:
        everyone = dict(self._known)
        for user_id in self._dirty:
            _put(everyone, user_id, self._now(user_id))
        return everyone

    def present(self) -> tuple[list[Person], int]:
        """Those who are listed at present, and how many there are."""
        everyone = self._everyone() if self._dirty else self._known
        return self._listed(everyone), len(everyone)

    def _listed(self, everyone: dict[str, Person]) -> list[Person]:
        listed = list(islice(everyone.values(), self._bounds.people))
        left_bytes = self._bounds.frame_bytes
        for index, person in enumerate(listed):
            left_bytes -= len(_encode(person)) + 1
            if left_bytes < 0:
                return listed[:index]
        return listed

    def settle(self) -> Presence | None:
        """What changed since the last call, for those who were told then; None where nothing did.

        Where that is more than the whole list, it is the whole list.
        """
        if not self._dirty:
            return None
        before = self._known
        if not self._update():
            return None
        old = {person.user_id: person for person in self._listed(before)}
        listed = self._listed(self._known)
        joined = [person for person in listed if person.user_id not in old]
        moved = [
            person for person in listed if person.user_id in old and old[person.user_id] != person
        ]
        still = {person.user_id for person in listed}
        left = [user_id for user_id in old if user_id not in still]
        if len(joined) + len(moved) + len(left) >= len(listed):
            return self.whole()
        return Presence(count=len(self._known), joined=joined, moved=moved, left=left)

    def _update(self) -> bool:
        everyone = self._everyone()
        self._dirty.clear()
        changed = everyone != self._known
        self._known = everyone
        return changed

    def whole(self) -> Presence:
        """Everyone, as of the last `settle`, for those who were told nothing yet."""
        return Presence(count=len(self._known), present=self._listed(self._known))


def _put(people: dict[str, Person], user_id: str, person: Person | None) -> None:
    if person is None:
        people.pop(user_id, None)
    else:
        people[user_id] = person


def _person(entries: Sequence[ConnectionRecord]) -> Person:
    newest = entries[-1]
    return Person(
        newest.user_id,
        newest.name or newest.user_id,
        _places(entry.looking_at for entry in entries),
    )


def _places(several: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({place for places in several for place in places})[:MAX_PLACES])
