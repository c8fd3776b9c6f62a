"""A change of a followed document, and the event that tells of it."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from rtserver.eventlog.publishing import MAX_USERS
from rtserver.model import ids, texts
from rtserver.model.audience import WHOLE_PROJECT, Audience, only_users, viewers_of
from rtserver.model.errors import InvalidError
from rtserver.model.events import EventDraft
from rtserver.model.watch import RESYNC, ChangeKind, Watch


class ChangeOutcome(enum.StrEnum):
    """What becomes of a change."""

    TOLD = "told"
    """The project is told."""
    TOO_LARGE = "too_large"
    """It is told that there was a change, without the document."""
    IGNORED = "ignored"
    """An update of fields that nobody is told of."""
    NO_PROJECT = "no_project"
    """The document names no project, or something that cannot be one."""
    NO_PROPOSAL = "no_proposal"
    """It names no proposal, and is for a proposal's viewers."""
    NO_USERS = "no_users"
    """It names no users, or too many, and is for users."""
    NO_IMAGE = "no_image"
    """It is gone, and MongoDB was not told to keep what it was."""
    UNREADABLE = "unreadable"
    """What somebody wrote is not valid BSON: a UUID of the wrong length, say."""


REPORTED = frozenset(ChangeOutcome) - {ChangeOutcome.TOLD, ChangeOutcome.IGNORED}
"""What somebody has to look at: changes that could not be told as was asked for."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change, with everything in it as plain JSON would have it.

    Attributes:
        key: stands for this change and no other, however often it is read.
        operation: what happened.
        document_id: the document's `_id`.
        ts: when (RFC 3339).
        document: what is needed of the document as it is now; None where it is gone.
        before: what is needed of it as it was; None where that was not kept.
        changed: paths of the fields that an update changed; None where all may be.
    """

    key: str
    operation: ChangeKind
    document_id: Any
    ts: str
    document: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    changed: Sequence[str] | None = None


class Told(NamedTuple):
    """What becomes of a change; where it is told, the event and the size of its data."""

    outcome: ChangeOutcome
    draft: EventDraft | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ChangeTeller:
    """Makes the events of a watch.

    Attributes:
        watch: whose.
        max_data_bytes: most bytes of an event's `data`, as JSON.
    """

    watch: Watch
    max_data_bytes: int

    def tell(self, change: Change) -> Told:
        """The event of a change, or why there is none."""
        watch = self.watch
        if not self._matters(change):
            return Told(ChangeOutcome.IGNORED)
        # What it was says whom it was for, where it is gone.
        routing = change.document if change.document is not None else change.before
        if routing is None:
            if watch.routing_fields:
                return Told(ChangeOutcome.NO_IMAGE)
            routing = {}
        project_id = watch.project_id or project_id_of(_at(routing, watch.project_field))
        if project_id is None:
            return Told(ChangeOutcome.NO_PROJECT)
        proposal_id = _proposal_id(_at(routing, watch.proposal_field))
        audience: Audience = WHOLE_PROJECT
        if watch.users_field is not None:
            users = _users(_at(routing, watch.users_field))
            if users is None:
                return Told(ChangeOutcome.NO_USERS)
            audience = only_users(users)
        elif watch.to_viewers:
            # Never wider than was asked for: what belongs to no proposal is for nobody.
            if proposal_id is None:
                return Told(ChangeOutcome.NO_PROPOSAL)
            audience = viewers_of(proposal_id)
        outcome, data, size_bytes = self._data(change)
        draft = EventDraft(
            project_id,
            watch.event_type(change.operation),
            {"data": data},
            audience=audience,
            proposal_id=proposal_id,
            ts=change.ts,
        )
        return Told(outcome, draft, size_bytes)

    def resync(self, project_id: str) -> EventDraft:
        """The event that tells a project that changes were missed."""
        data = {"reason": "history_lost"}
        return EventDraft(project_id, f"{self.watch.type}.{RESYNC}", {"data": data})

    def _matters(self, change: Change) -> bool:
        watch = self.watch
        if change.changed is None or not watch.fields:
            return True
        return any(
            _overlap(path, told)
            for path in change.changed
            for told in (*watch.fields, *watch.routing_fields)
        )

    def _data(self, change: Change) -> tuple[ChangeOutcome, dict[str, Any], int]:
        watch = self.watch
        data: dict[str, Any] = {"id": change.document_id}
        shown = change.document if change.operation is not ChangeKind.DELETE else None
        if shown is not None and (watch.whole or watch.fields):
            data["document"] = dict(shown) if watch.whole else picked(shown, watch.fields)
        size_bytes = len(msgspec.json.encode(data))
        if size_bytes <= self.max_data_bytes:
            return ChangeOutcome.TOLD, data, size_bytes
        data = {"id": change.document_id, "too_large": True}
        if len(msgspec.json.encode(data)) > self.max_data_bytes:
            data["id"] = None
        return ChangeOutcome.TOO_LARGE, data, self.max_data_bytes


def picked(document: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Copy what stands at these paths into a new document; in lists, of each element."""
    return _pick(document, _tree(paths))


def _pick(document: Mapping[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, below in tree.items():
        value = document.get(name)
        if name in document and not below:
            found[name] = value
        elif isinstance(value, Mapping):
            found[name] = _pick(value, below)
        elif isinstance(value, list):
            found[name] = [_pick(one, below) for one in value if isinstance(one, Mapping)]
    return found


def _tree(paths: Sequence[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in top_paths(paths):
        place = tree
        for name in path.split("."):
            place = place.setdefault(name, {})
    return tree


def top_paths(paths: Sequence[str]) -> list[str]:
    """The paths without those that lie below another one of them."""
    top: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{above}.") for above in top):
            top.append(path)
    return top


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _at(document: Mapping[str, Any], path: str | None) -> Any:
    if path is None:
        return None
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _text(value: Any) -> str | None:
    """An id as text; numbers are ids in many a database, truth values are not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def project_id_of(value: Any) -> str | None:
    """The project id that a field's value stands for; None where it is not an id."""
    text = _text(value)
    try:
        return None if text is None else ids.project_id(text)
    except ids.BadIdentifier:
        return None


def _proposal_id(value: Any) -> str | None:
    text = _text(value)
    try:
        return None if text is None else ids.proposal_id(text)
    except ids.BadIdentifier:
        return None


def _users(value: Any) -> frozenset[str] | None:
    values = value if isinstance(value, list) else [value]
    users = [text for text in map(_text, values) if text is not None]
    if not 1 <= len(users) <= MAX_USERS or len(users) < len(values):
        return None
    try:
        return frozenset(texts.user_id("users", user) for user in users)
    except InvalidError:
        return None
