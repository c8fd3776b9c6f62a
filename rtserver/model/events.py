"""Events of the log: what a publisher hands in, and what a reader gets back."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import msgspec

from rtserver.model.audience import WHOLE_PROJECT, Audience
from rtserver.model.moments import now_rfc3339

AUDIT_PROJECT = "$audit"
"""The sequence of the audit records; no token can name it ('$' is not allowed)."""
CONTROL_PROJECT = "$workers"
"""The sequence that carries messages between workers; no token can name it ('$' is not allowed)."""

_encode = msgspec.json.Encoder().encode


class EventType(enum.StrEnum):
    """The types that the server itself stores. A service's own types have a dot in them."""

    VALIDATION_START = "validation_start"
    OUTPUT = "output"
    VALIDATION_COMPLETE = "validation_complete"
    VALIDATION_ERROR = "validation_error"
    VALIDATION_CANCELLED = "validation_cancelled"
    ITERATION_START = "iteration_start"
    TOKEN = "token"  # noqa: S105 - a type of event
    ITERATION_COMPLETE = "iteration_complete"
    ITERATION_CANCELLED = "iteration_cancelled"
    ITERATION_ERROR = "iteration_error"
    RUN_QUEUED = "run_queued"
    STATUS_CHANGED = "status_changed"
    COMMENT_CREATED = "comment_created"
    COMMENT_UPDATED = "comment_updated"
    COMMENT_DELETED = "comment_deleted"
    LOCK_CHANGED = "lock_changed"
    PROPOSAL_CREATED = "proposal_created"
    PROPOSAL_UPDATED = "proposal_updated"
    REVISION_CREATED = "revision_created"
    FILES_FOUND = "files_found"
    REVIEW_SUBMITTED = "review_submitted"
    PROPOSAL_DELETED = "proposal_deleted"
    CONTROL = "control"


@dataclass(slots=True)
class EventDraft:
    """An event that has no place in the log yet.

    Attributes:
        project_id: the sequence that it goes into.
        type: an `EventType`, or a service's own dotted type.
        fields: the frame's further keys. `type`, `id`, `project_id` and `ts` are the log's own and
            win over keys of the same name.
        audience: who may see it.
        proposal_id: the proposal that it concerns; also put into the frame.
        ts: time of the event (RFC 3339); now unless given.
    """

    project_id: str
    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    audience: Audience = WHOLE_PROJECT
    proposal_id: str | None = None
    ts: str | None = None

    def body(self) -> str:
        """The frame as JSON text, still without its `id`."""
        frame: dict[str, Any] = {"type": self.type, "project_id": self.project_id}
        if self.proposal_id is not None:
            frame["proposal_id"] = self.proposal_id
        frame |= self.fields
        if not _LOG_KEYS.isdisjoint(self.fields):
            frame["type"], frame["project_id"] = self.type, self.project_id
            frame.pop("id", None)
        frame["ts"] = self.ts or now_rfc3339()
        return _encode(frame).decode()


class PreparedDrafts(Sequence[EventDraft]):
    """Drafts whose stored form their maker knows: the log takes it as it is.

    Attributes:
        project_id: of all of them.
        items: the stored form, as `EventPack.items` describes it.
        digest: stands for the content of all of them.
        size_bytes: about how much the texts are.
    """

    __slots__ = ("digest", "items", "project_id", "size_bytes")

    def __init__(
        self, project_id: str, items: list[dict[str, Any]], *, digest: str, size_bytes: int
    ) -> None:
        self.project_id = project_id
        self.items = items
        self.digest = digest
        self.size_bytes = size_bytes

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> EventDraft: ...

    @overload
    def __getitem__(self, index: slice) -> list[EventDraft]: ...

    def __getitem__(self, index: int | slice) -> EventDraft | list[EventDraft]:
        if isinstance(index, slice):
            return [_Prepared(self.project_id, item) for item in self.items[index]]
        return _Prepared(self.project_id, self.items[index])


class _Prepared(EventDraft):
    """One of them, made when it is asked for."""

    __slots__ = ("_body",)

    def __init__(self, project_id: str, item: Mapping[str, Any]) -> None:
        super().__init__(project_id, item["t"])
        self._body: str = item["b"]

    def body(self) -> str:
        return self._body


_LOG_KEYS = frozenset({"id", "type", "project_id", "ts"})


class StoredEvent:
    """An event with its place in the log.

    Attributes:
        project_id, seq, epoch: where it stands.
        type, proposal_id, audience: as in the draft.
        payload: the whole frame as UTF-8 JSON, the same bytes on every transport.
    """

    __slots__ = ("audience", "epoch", "payload", "project_id", "proposal_id", "seq", "type")

    def __init__(
        self,
        project_id: str,
        epoch: str,
        seq: int,
        type_: str,
        proposal_id: str | None,
        audience: Audience,
        body: str,
    ) -> None:
        self.project_id = project_id
        self.epoch = epoch
        self.seq = seq
        self.type = type_
        self.proposal_id = proposal_id
        self.audience = audience
        # The body always opens an object with at least `type`, so the id can go in front of it.
        self.payload = f'{{"id":"{epoch}-{seq}",{body[1:]}'.encode()

    @property
    def id(self) -> str:
        """The position as text, `EPOCH-SEQ`."""
        return f"{self.epoch}-{self.seq}"

    def frame(self) -> dict[str, Any]:
        """The frame as a dict, for the few places that look inside."""
        decoded: dict[str, Any] = msgspec.json.decode(self.payload)
        return decoded

    def __repr__(self) -> str:
        return f"StoredEvent({self.project_id!r}, {self.id}, {self.type!r})"


class EventPack:
    """Consecutive events of one project that were stored together, in one document.

    Attributes:
        project_id: the sequence that they belong to.
        epoch: the life of the log.
        first, last: the sequence numbers that the pack covers; `last - first + 1` events.
        items: the events as stored: `t` type, `b` the frame's JSON text without its `id`, and
            where there is one `p` proposal id and `a` audience.
    """

    __slots__ = ("epoch", "first", "items", "last", "project_id")

    def __init__(
        self, project_id: str, epoch: str, first: int, last: int, items: list[dict[str, Any]]
    ) -> None:
        self.project_id = project_id
        self.epoch = epoch
        self.first = first
        self.last = last
        self.items = items

    def events(self, *, after: int = 0, upto: int | None = None) -> list[StoredEvent]:
        """The events with `after < seq <= upto`, in order."""
        first, project_id, epoch = self.first, self.project_id, self.epoch
        start = max(0, after + 1 - first)
        stop = len(self.items) if upto is None else max(0, upto + 1 - first)
        return [
            StoredEvent(
                project_id,
                epoch,
                seq,
                item["t"],
                item.get("p"),
                Audience.from_document(item["a"]) if "a" in item else WHOLE_PROJECT,
                item["b"],
            )
            for seq, item in enumerate(self.items[start:stop], first + start)
        ]


def pack_item(draft: EventDraft) -> dict[str, Any]:
    """A draft in the stored form that `EventPack.items` describes."""
    item: dict[str, Any] = {"t": draft.type, "b": draft.body()}
    if draft.proposal_id is not None:
        item["p"] = draft.proposal_id
    audience = draft.audience.to_document()
    if audience is not None:
        item["a"] = audience
    return item
