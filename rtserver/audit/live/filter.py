"""Audit filters: which records an admin wants to see.

A filter is checked when it is made: a slip of the pen that silently showed nothing, or everything,
would be worse than an error.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self, TypedDict, cast

import msgspec

from rtserver.audit.record.actions import Action, Outcome, matching
from rtserver.model import ids
from rtserver.model.errors import InvalidError
from rtserver.model.events import StoredEvent
from rtserver.model.field_types import Moment, ProjectId, UserId, line_of
from rtserver.model.moments import rfc3339

MAX_ACTIONS = 50
MAX_TEXT_CHARS = 256

# RFC 3339 section 5.6; `fromisoformat` takes much that is not.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


ActionPattern = Annotated[
    str,
    msgspec.Meta(
        description="The name of an action, or with * at the end what names begin with",
        examples=["connection.denied", "validation.*"],
        extra_json_schema={"pattern": r"^[a-z_.]*\*?$", "minLength": 1},
    ),
]
OutcomeName = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [outcome.value for outcome in Outcome]})
]
FilterText = Annotated[str, line_of(MAX_TEXT_CHARS)]


class AuditParameters(msgspec.Struct, kw_only=True):
    """The conditions of a filter, as a query has them. `AuditFilter.make` checks the values.

    Attributes:
        action: what was done; any of these.
        actor: the user who acted.
        project_id: the project concerned.
        target: what was acted on.
        outcome: how it ended.
        since: the earliest time.
        until: the time before which it was.
    """

    action: Annotated[list[ActionPattern], msgspec.Meta(max_length=MAX_ACTIONS)] = []
    actor: UserId | None = None
    project_id: ProjectId | None = None
    target: FilterText | None = None
    outcome: OutcomeName | None = None
    since: Moment | None = None
    until: Moment | None = None


PARAMETERS = AuditParameters.__struct_fields__


class AuditFilterJson(TypedDict, total=False):
    """The conditions of a filter, those that there are."""

    action: list[ActionPattern]
    actor: UserId
    project_id: ProjectId
    target: FilterText
    outcome: OutcomeName
    since: Moment
    until: Moment


class RecordView(msgspec.Struct, gc=False):
    """What filters look at in a record."""

    action: str
    outcome: str
    ts: str
    actor: str | None = None
    project_id: str | None = None
    target: str | None = None


_decode = msgspec.json.Decoder(RecordView).decode


def view_of(record: StoredEvent) -> RecordView:
    """What filters look at in a stored record."""
    return _decode(record.payload)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions that a record has to meet, all of them; one that is empty or None is met by all.

    Attributes:
        actions: names of actions, or with `*` at the end what they begin with; any of them.
        actor: the user who acted.
        project_id: the project concerned.
        target: what was acted on.
        outcome: how it ended.
        since: the earliest time, in the form of `ts`.
        until: the time before which it was, likewise.
    """

    actions: tuple[str, ...] = ()
    actor: str | None = None
    project_id: str | None = None
    target: str | None = None
    outcome: str | None = None
    since: str | None = None
    until: str | None = None

    @classmethod
    def make(cls, given: Mapping[str, Sequence[str]]) -> Self:
        """The filter of parameters as they came; `action` may be there several times.

        Raises:
            InvalidError: a parameter is unknown, there twice, or has a value that it can't have.
        """
        for name in given:
            if name not in PARAMETERS:
                raise InvalidError(f"There is no filter {_shown(name)}{_hint(name, PARAMETERS)}")
        single = {name: _single(name, given[name]) for name in PARAMETERS[1:] if given.get(name)}
        if "outcome" in single and single["outcome"] not in {*Outcome}:
            raise InvalidError(
                f"outcome is one of {', '.join(Outcome)}, not {_shown(single['outcome'])}"
            )
        if "project_id" in single:
            try:
                ids.project_id(single["project_id"])
            except ids.BadIdentifier as error:
                raise InvalidError(f"project_id: {error}") from None
        for name in ("since", "until"):
            if name in single:
                single[name] = _moment(name, single[name])
        return cls(actions=_actions(given.get("action", ())), **single)

    def is_empty(self) -> bool:
        """Whether every record meets it."""
        return self == EVERYTHING

    def wants_action(self, action: str) -> bool:
        """Whether the action is one that is wanted."""
        return not self.actions or any(
            action.startswith(pattern[:-1]) if pattern[-1] == "*" else action == pattern
            for pattern in self.actions
        )

    def wants(self, view: RecordView) -> bool:
        """Whether a record meets all conditions."""
        return (
            (self.actor is None or view.actor == self.actor)
            and (self.target is None or view.target == self.target)
            and (self.project_id is None or view.project_id == self.project_id)
            and (self.outcome is None or view.outcome == self.outcome)
            and (self.since is None or view.ts >= self.since)
            and (self.until is None or view.ts < self.until)
            and self.wants_action(view.action)
        )

    def wants_record(self, record: StoredEvent) -> bool:
        """The same for a stored record, whose type is its action."""
        if not self.wants_action(record.type):
            return False
        return self._looks_at_action_only() or self.wants(view_of(record))

    def _looks_at_action_only(self) -> bool:
        others = (self.actor, self.target, self.project_id, self.outcome, self.since, self.until)
        return all(condition is None for condition in others)

    def to_json(self) -> AuditFilterJson:
        """The filter as clients see it: the conditions that there are."""
        shown: dict[str, Any] = {"action": list(self.actions)} if self.actions else {}
        for name in PARAMETERS[1:]:
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        return cast(AuditFilterJson, shown)


EVERYTHING = AuditFilter()


def _actions(patterns: Sequence[str]) -> tuple[str, ...]:
    if len(patterns) > MAX_ACTIONS:
        raise InvalidError(f"action can be given {MAX_ACTIONS} times at most")
    for pattern in patterns:
        if "*" in pattern[:-1]:
            raise InvalidError(f"action: * stands at the end only, not as in {_shown(pattern)}")
        if not matching(pattern):
            groups = [f"{action.value.partition('.')[0]}.*" for action in Action]
            hint = _hint(pattern, groups if pattern[-1:] == "*" else [*Action])
            raise InvalidError(f"There is no action {_shown(pattern)}{hint}")
    return () if "*" in patterns else tuple(sorted(set(patterns)))


def _single(name: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise InvalidError(f"{name} can be given once")
    value = values[0]
    if not 1 <= len(value) <= MAX_TEXT_CHARS:
        raise InvalidError(f"{name} takes 1 to {MAX_TEXT_CHARS} characters")
    return value


def _moment(name: str, text: str) -> str:
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        return rfc3339(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise InvalidError(
            f"{name} takes a time such as 2026-01-31T14:00:00Z (RFC 3339), not {_shown(text)}"
        ) from None


def _hint(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 64 else text[:64] + "...")
