"""A followed collection of an application, and the form in which `RT_WATCH` names one.

    [DATABASE.]COLLECTION:TYPE[:OPTION=VALUE]...

The options and what they are for stand in docs/watching.md.
"""

import difflib
import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rtserver.model import ids

FORM = "[DATABASE.]COLLECTION:TYPE[:OPTION=VALUE]..."
OPTIONS = ("project", "to", "proposal", "audience", "users", "send", "on")
WHOLE = "*"
OWN_COLLECTIONS = frozenset(
    {
        *("events", "audit", "audit_archives", "meta", "heads"),
        *("audit_strangers", "audit_strangers_heads", "audit_strangers_workers"),
        *("connections", "presence", "workers", "watches"),
        *("proposals", "comments", "locks", "runs", "run_places"),
        *("revisions", "contents", "commits", "revocations"),
        *("webhooks", "webhook_dead_letters"),
    }
)
"""The server's own, in its database. Following the log would feed the log into itself."""

_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_COLLECTION = re.compile(r"[^\s:,$.=][^\s:,$=]{0,119}")
_FIELD = re.compile(r"[^\s:,.=$][^\s:,.=]*(?:\.[^\s:,.=$][^\s:,.=]*)*")
_FOREIGN_DATABASES = ("admin", "config", "local")


class ChangeKind(enum.StrEnum):
    """What may happen to a document. Its value ends the type of the event that tells of it."""

    INSERT = "inserted"
    UPDATE = "updated"
    DELETE = "deleted"


RESYNC = "resync"
"""Ends the type of the event that tells a project that changes were missed."""

_WORDS = {"insert": ChangeKind.INSERT, "update": ChangeKind.UPDATE, "delete": ChangeKind.DELETE}


class WatchSpecError(ValueError):
    """What was given is no watch. The message names the part."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A collection to follow, and what to tell of its changes to whom.

    Field names are paths with dots: `meta.project`.

    Attributes:
        database: where the collection is; empty: the server's own.
        collection: which.
        type: begins the types of its events, which end in a `ChangeKind`.
        operations: those that are told.
        project_field: holds the project's id; None where `project_id` says it.
        project_id: the project of all documents.
        proposal_field: holds the proposal's id.
        to_viewers: tell the viewers of the proposal alone.
        users_field: holds the id of the user who is told alone, or a list of them.
        fields: what is sent of a document. Updates of other fields are not told.
        whole: the whole document is sent.
    """

    database: str
    collection: str
    type: str
    operations: frozenset[ChangeKind] = frozenset(ChangeKind)
    project_field: str | None = "project_id"
    project_id: str | None = None
    proposal_field: str | None = None
    to_viewers: bool = False
    users_field: str | None = None
    fields: tuple[str, ...] = ()
    whole: bool = False

    @property
    def namespace(self) -> str:
        """The collection as MongoDB writes it, with its database."""
        return f"{self.database}.{self.collection}"

    @property
    def name(self) -> str:
        """Names the watch in the log, and for all time the place that it has come to."""
        return f"{self.namespace}:{self.type}"

    def event_type(self, operation: ChangeKind) -> str:
        """The type of the events that tell of an operation."""
        return f"{self.type}.{operation.value}"

    @property
    def routing_fields(self) -> tuple[str, ...]:
        """The fields that say whom a change is told to."""
        fields = (self.project_field, self.proposal_field, self.users_field)
        return tuple(field for field in fields if field is not None)

    def in_database(self, name: str) -> "Watch":
        """The same with its database named, which is the server's own unless it says another."""
        return self if self.database else replace(self, database=name)


def parse_watches(text: str) -> tuple[Watch, ...]:
    """The watches of a text, between which there are blanks or line ends.

    Raises:
        WatchSpecError: one of them is not a watch.
    """
    return tuple(_parse(one) for one in text.split())


def check_watches(watches: Sequence[Watch], own_database: str) -> None:
    """Check what can only be said of all of them together, with their databases named.

    Raises:
        WatchSpecError: two have the same name, or one follows what is the server's own.
    """
    names: set[str] = set()
    for watch in watches:
        if watch.name in names:
            raise WatchSpecError(f"{watch.name} is there twice: give each a type of its own")
        names.add(watch.name)
        if watch.database == own_database and watch.collection in OWN_COLLECTIONS:
            raise WatchSpecError(f"{watch.namespace} is the server's own collection")


def _parse(text: str) -> Watch:
    namespace, *rest = text.split(":")
    if not rest or not rest[0]:
        raise WatchSpecError(f"{_cut(text)} names no type: COLLECTION:TYPE")
    database, collection = _namespace(namespace)
    for ending in (*ChangeKind, RESYNC):
        try:
            ids.event_type(f"{rest[0]}.{ending}")
        except ids.BadIdentifier:
            raise WatchSpecError(
                f"the type {_cut(rest[0])} must be lower-case words joined by dots"
            ) from None
    given: dict[str, str] = {}
    for part in rest[1:]:
        key, _, value = part.partition("=")
        if key not in OPTIONS:
            close = difflib.get_close_matches(key, OPTIONS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(OPTIONS)}"
            raise WatchSpecError(f"no option {_cut(key)}; {hint}")
        if key in given:
            raise WatchSpecError(f"the option {key} is there twice")
        if not value:
            raise WatchSpecError(f"the option {key} has no value: {key}=...")
        given[key] = value
    return _with_options(Watch(database, collection, rest[0]), given)


def _namespace(text: str) -> tuple[str, str]:
    database, dot, collection = text.partition(".")
    if not dot:
        database, collection = "", text
    elif not _DATABASE.fullmatch(database) or database in _FOREIGN_DATABASES:
        raise WatchSpecError(f"{_cut(database)} is no database that can be followed")
    if not _COLLECTION.fullmatch(collection) or collection.startswith("system."):
        raise WatchSpecError(f"{_cut(text)} is no collection that can be followed")
    return database, collection


def _with_options(watch: Watch, given: dict[str, str]) -> Watch:
    if "project" in given and "to" in given:
        raise WatchSpecError("give project=FIELD or to=PROJECT, not both")
    if "audience" in given and "users" in given:
        raise WatchSpecError("give audience=... or users=FIELD, not both")
    if given.get("audience") == "proposal" and "proposal" not in given:
        raise WatchSpecError("audience=proposal needs proposal=FIELD")
    for key, value in given.items():
        watch = replace(watch, **_OPTION_PARSERS[key](value))
    if "proposal" in given and "audience" not in given and "users" not in given:
        watch = replace(watch, to_viewers=True)
    return watch


def _field(key: str, value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise WatchSpecError(f"{key}={_cut(value)} is no field")
    return value


def _to(value: str) -> dict[str, Any]:
    try:
        return {"project_id": ids.project_id(value), "project_field": None}
    except ids.BadIdentifier:
        raise WatchSpecError(f"to={_cut(value)} is no project id") from None


def _audience(value: str) -> dict[str, Any]:
    if value not in ("project", "proposal"):
        raise WatchSpecError(f"audience={_cut(value)}: it is project or proposal")
    return {"to_viewers": value == "proposal"}


def _send(value: str) -> dict[str, Any]:
    if value == WHOLE:
        return {"whole": True}
    return {"fields": tuple(dict.fromkeys(_field("send", one) for one in value.split(",")))}


def _on(value: str) -> dict[str, Any]:
    words = value.split(",")
    for word in words:
        if word not in _WORDS:
            raise WatchSpecError(f"on={_cut(word)}: it is insert, update or delete")
    return {"operations": frozenset(_WORDS[word] for word in words)}


_OPTION_PARSERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "project": lambda value: {"project_field": _field("project", value)},
    "to": _to,
    "proposal": lambda value: {"proposal_field": _field("proposal", value)},
    "audience": _audience,
    "users": lambda value: {"users_field": _field("users", value)},
    "send": _send,
    "on": _on,
}


def _cut(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:24] + "...")
