"""What is recorded in the audit log: every action, with its meaning and an example.

docs/audit.md is generated from here by `rtserver.audit.record.doc`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Outcome(enum.StrEnum):
    """How an act ended."""

    ALLOWED = "allowed"
    """It was done, or it happened."""
    DENIED = "denied"
    """The server refused it: no right to it, or a limit."""
    FAILED = "failed"
    """It could not be done: wrong input, a conflict, something missing or broken."""


class Action(enum.StrEnum):
    """Every action that a record can have. What each means stands in `CATALOGUE`."""

    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CLOSED = "connection.closed"
    CONNECTION_DENIED = "connection.denied"
    CONNECTION_EVICTED = "connection.evicted"
    CONNECTION_DISCONNECTED = "connection.disconnected"
    CONNECTION_LISTED = "connection.listed"
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - an action
    TOKEN_REFRESHED = "token.refreshed"  # noqa: S105 - an action
    LIMIT_HIT = "limit.hit"
    MESSAGE_REFUSED = "message.refused"
    VALIDATION_STARTED = "validation.started"
    VALIDATION_CANCELLED = "validation.cancelled"
    VALIDATION_ENDED = "validation.ended"
    ITERATION_STARTED = "iteration.started"
    ITERATION_CANCELLED = "iteration.cancelled"
    ITERATION_ENDED = "iteration.ended"
    RUN_CANCELLED = "run.cancelled"
    PROPOSAL_CREATED = "proposal.created"
    PROPOSAL_UPDATED = "proposal.updated"
    PROPOSAL_STATUS_CHANGED = "proposal.status_changed"
    COMMENT_CREATED = "comment.created"
    LOCK_ACQUIRED = "lock.acquired"
    LOCK_RELEASED = "lock.released"
    LOCK_EXPIRED = "lock.expired"
    EVENT_PUBLISHED = "event.published"
    API_CALLED = "api.called"
    AUDIT_WATCHED = "audit.watched"
    AUDIT_READ = "audit.read"
    AUDIT_ANCHORED = "audit.anchored"
    AUDIT_DROPPED = "audit.dropped"
    AUDIT_ARCHIVE_TAKEN = "audit.archive_taken"
    AUDIT_ARCHIVE_FAILED = "audit.archive_failed"
    AUDIT_ARCHIVE_GAP = "audit.archive_gap"
    WORKER_STARTED = "worker.started"
    WORKER_STOPPED = "worker.stopped"
    WORKER_LOST = "worker.lost"
    MONGODB_LOST = "mongodb.lost"
    MONGODB_FOUND = "mongodb.found"
    WATCH_HISTORY_LOST = "watch.history_lost"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the documentation says of an action.

    Attributes:
        meaning: when it is recorded.
        example: fields of a record as it may look, beside those that every record has.
        must: the act is refused with 503 rather than done while it can't be recorded.
        kept: recorded also past the spool's bound: what the server itself went through, and ends
            of what was let through before. Of these there are only few.
        details: what its `details` may hold, key by key.
    """

    meaning: str
    example: Mapping[str, Any]
    must: bool = False
    kept: bool = False
    details: Mapping[str, str] = field(default_factory=dict)


_SOCKET = {"actor": "ada", "project_id": "demo", "connection_id": "9f1c22ab04e7d310"}
_WITH_IP = {**_SOCKET, "ip": "203.0.113.7"}
_RUN = {**_WITH_IP, "target": "add-hold-queue"}

_SHELL = {
    "via": "`shell` where it was done with a command on a host; the actor is the account there",
    "host": "which host, then",
}
_REASON = {"reason": "why it was refused or failed, as a word", "status": "HTTP status, over HTTP"}

CATALOGUE: Mapping[Action, Entry] = {
    Action.CONNECTION_OPENED: Entry(
        "A client was let in, over any transport.",
        {**_WITH_IP, "details": {"transport": "websocket"}},
        details={"transport": "`websocket`, `sse` or `sockjs`"},
    ),
    Action.CONNECTION_CLOSED: Entry(
        "A connection ended, whoever ended it.",
        {
            **_WITH_IP,
            "details": {
                "code": 4010,
                "reason": "No pong in time",
                "initiator": "server",
                "transport": "websocket",
                "duration_ms": 61204,
            },
        },
        details={
            "code": "close code; null where the peer went without one",
            "reason": "the words that went with the server's close",
            "initiator": "`server` or `client`: who ended it",
            "transport": "as in `connection.opened`",
            "duration_ms": "how long it was open",
        },
    ),
    Action.CONNECTION_DENIED: Entry(
        "A client was not let in. Denied: not its project, no place left, a page of a foreign "
        "origin, or no admin; failed: what it asks for is not there, or was asked for wrongly. A "
        "token that is no good is `token.refused`.",
        {
            **_WITH_IP,
            "connection_id": None,
            "outcome": "denied",
            "details": {"reason": "project_full", "transport": "websocket"},
        },
        details={
            "reason": "`forbidden`, `project_full`, `origin`, `not_admin`, `not_found`, `invalid`, "
            "`unavailable`, ...; over SockJS also the name of a close code, where no usable hello "
            "came",
            "status": "HTTP status, where it was refused with one",
            "transport": "as in `connection.opened`",
        },
    ),
    Action.CONNECTION_EVICTED: Entry(
        "A user's oldest connection had to go for a new one; `target` is the connection that goes, "
        "`connection_id` the one that came.",
        {**_WITH_IP, "target": "0b77c0ffee5a1e42", "details": {"limit": "connections_per_user"}},
        details={"limit": "which limit", "worker": "the worker that holds it", "code": "4009"},
    ),
    Action.CONNECTION_DISCONNECTED: Entry(
        "An admin ended a connection, or all of a user; `target` is the connection's id.",
        {
            "actor": "root",
            "ip": "198.51.100.9",
            "target": "9f1c22ab04e7d310",
            "project_id": "demo",
            "details": {"user_id": "ada", "worker": "host-17-a1b2c3"},
        },
        must=True,
        details={
            "user_id": "whose it was",
            "worker": "the worker that holds it",
            "connections": "0 where the user had none",
            **_REASON,
        },
    ),
    Action.CONNECTION_LISTED: Entry(
        "An admin looked at who is connected.",
        {"actor": "root", "ip": "198.51.100.9", "details": {"connections": 12}},
        must=True,
        details={"connections": "how many were shown", **_REASON},
    ),
    Action.TOKEN_REFUSED: Entry(
        "A token proved nothing. The token itself is never recorded, nor whom it claims to name.",
        {
            "ip": "203.0.113.7",
            "outcome": "denied",
            "details": {"reason": "expired", "path": "/ws/projects/demo"},
        },
        details={
            "reason": "`missing`, `expired`, `bad_signature`, ... as in the metric",
            "path": "the address that was asked for, over HTTP",
        },
    ),
    Action.TOKEN_REFRESHED: Entry(
        "A session goes on under another token of the same user; denied where the new one does not "
        "open what the session is for.",
        {**_WITH_IP, "details": {"expires_at": "2026-01-31T15:00:00.000Z"}},
        details={"expires_at": "until when it holds", **_REASON},
    ),
    Action.LIMIT_HIT: Entry(
        "A session ran into one of its limits and is closed.",
        {**_WITH_IP, "outcome": "denied", "details": {"limit": "outbox_bytes", "code": 4008}},
        details={
            "limit": "`outbox_bytes`, `messages_per_s` or `unusable_messages`",
            "code": "the close code that follows",
        },
    ),
    Action.MESSAGE_REFUSED: Entry(
        "A session sent what is no command, or a command while too many were under way. One that "
        "was meant to be a recorded act is recorded as that.",
        {**_WITH_IP, "outcome": "failed", "details": {"reason": "malformed"}},
        details={
            "reason": "`malformed`, `unknown_type`, `invalid`, `too_large`, `binary` or `busy`",
            "command": "what it was meant to be, where it names a command",
        },
    ),
    Action.VALIDATION_STARTED: Entry(
        "A validation was asked for; allowed: it is under way. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "77d0c1f2a3b4e5d6"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.VALIDATION_CANCELLED: Entry(
        "Somebody asked for the end of a validation. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "77d0c1f2a3b4e5d6"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.VALIDATION_ENDED: Entry(
        "A validation came to its end; the actor is who started it. Failed: it ended in an error.",
        {
            **_RUN,
            "ip": None,
            "connection_id": None,
            "details": {"run_id": "77d0c1f2a3b4e5d6", "state": "passed", "duration_ms": 1840},
        },
        kept=True,
        details={
            "run_id": "the run",
            "state": "`passed`, `failed`, `cancelled` or `error`",
            "reason": "of an error",
            "cancelled_by": "who cancelled it",
            "duration_ms": "from its start",
        },
    ),
    Action.ITERATION_STARTED: Entry(
        "An iteration was asked for; allowed: it is under way. `target` is the proposal.",
        {
            **_RUN,
            "details": {"run_id": "5a1e42d0c1f2a3b4", "instruction": "Name the fees"},
        },
        must=True,
        details={"run_id": "the run", "instruction": "what was asked for", **_REASON},
    ),
    Action.ITERATION_CANCELLED: Entry(
        "Somebody asked for the end of an iteration. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "5a1e42d0c1f2a3b4"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.ITERATION_ENDED: Entry(
        "An iteration came to its end; the actor is who started it. Failed: it ended in an error.",
        {
            **_RUN,
            "ip": None,
            "connection_id": None,
            "outcome": "failed",
            "details": {
                "run_id": "5a1e42d0c1f2a3b4",
                "state": "error",
                "reason": "unsafe_path",
                "duration_ms": 20311,
            },
        },
        kept=True,
        details={
            "run_id": "the run",
            "state": "`completed`, `cancelled` or `error`",
            "reason": "of an error",
            "cancelled_by": "who cancelled it",
            "duration_ms": "from its start",
        },
    ),
    Action.RUN_CANCELLED: Entry(
        "Somebody asked for the end of a run that there is not, or not for them. `target` is what "
        "was named. A run that is found is recorded under its own kind.",
        {
            **_WITH_IP,
            "target": "77d0c1f2a3b4e5d6",
            "outcome": "failed",
            "details": {"reason": "not_found", "status": 404},
        },
        must=True,
        details=_REASON,
    ),
    Action.PROPOSAL_CREATED: Entry(
        "A proposal was made known. `target` is the proposal.",
        {**_RUN, "connection_id": None, "details": {"status": 201}},
        details=_REASON,
    ),
    Action.PROPOSAL_UPDATED: Entry(
        "A proposal's title, author or reviewers were changed. `target` is the proposal.",
        {
            **_RUN,
            "connection_id": None,
            "details": {"fields": ["reviewers"], "version": 4, "status": 200},
        },
        details={
            "fields": "what was to be changed",
            "version": "of the proposal afterwards",
            **_REASON,
        },
    ),
    Action.PROPOSAL_STATUS_CHANGED: Entry(
        "A proposal's status was changed, perhaps with other things. `target` is the proposal.",
        {
            **_RUN,
            "connection_id": None,
            "details": {"to": "approved", "fields": ["status"], "version": 5, "status": 200},
        },
        must=True,
        details={
            "to": "the status asked for",
            "fields": "what was to be changed",
            "version": "of the proposal afterwards",
            "cause": "`revised` where an iteration, which the actor asked for, put an approved one "
            "back to review",
            **_REASON,
        },
    ),
    Action.COMMENT_CREATED: Entry(
        "A comment was made; its text is not recorded. `target` is the proposal.",
        {
            **_RUN,
            "connection_id": None,
            "details": {"comment_id": "c0ffee5a1e42d0c1", "status": 201},
        },
        details={"comment_id": "the comment", **_REASON},
    ),
    Action.LOCK_ACQUIRED: Entry(
        "A project was locked, or the lease of its lock renewed. `target` is the project.",
        {
            **_WITH_IP,
            "connection_id": None,
            "target": "demo",
            "details": {"words": "Reworking the fees", "status": 200},
        },
        must=True,
        details={"words": "the reason that was given for the lock", **_REASON},
    ),
    Action.LOCK_RELEASED: Entry(
        "A project's lock was given back, or taken away by an admin. `target` is the project.",
        {
            **_WITH_IP,
            "connection_id": None,
            "target": "demo",
            "details": {"held_by": "ben", "status": 204},
        },
        must=True,
        details={"held_by": "who held it, where that was somebody else", **_REASON},
    ),
    Action.LOCK_EXPIRED: Entry(
        "A lock ended because nobody renewed it; the actor is who held it. `target` is the "
        "project.",
        {"actor": "ada", "project_id": "demo", "target": "demo"},
        kept=True,
    ),
    Action.EVENT_PUBLISHED: Entry(
        "A service published events, one or a batch; or an operator did, from a shell.",
        {
            "actor": "ci",
            "ip": "198.51.100.20",
            "project_id": "demo",
            "details": {"types": ["build.finished"], "events": 1, "first": "9c2e41aa-17"},
        },
        details={
            "types": "the events' types, each once, at most 10",
            "events": "how many",
            "first": "id of the first",
            "duplicate": "true where the idempotency key was known: nothing was stored now",
            **_SHELL,
            **_REASON,
        },
    ),
    Action.API_CALLED: Entry(
        "A request that no other action stands for: one that would change something, or one that "
        "was refused.",
        {
            "actor": "ada",
            "ip": "203.0.113.7",
            "outcome": "denied",
            "details": {
                "method": "GET",
                "path": "/api/v1/projects/secret",
                "status": 403,
                "reason": "forbidden",
            },
        },
        details={"method": "of the request", "path": "what was asked for", **_REASON},
    ),
    Action.AUDIT_WATCHED: Entry(
        "An admin watches the audit log, or changed the filter of such a connection; or an "
        "operator follows it from a shell.",
        {
            "actor": "root",
            "ip": "198.51.100.9",
            "connection_id": "51f0aa0b77c0ffee",
            "details": {"filter": {"action": ["lock.*"]}, "history": 100},
        },
        must=True,
        details={
            "filter": "what is watched",
            "history": "how many earlier records were asked for",
            "change": "true where the filter of an open connection changed",
            "after": "id of the record behind which it begins, from a shell",
            "reason": "why a change of the filter was refused, as a word",
            **_SHELL,
        },
    ),
    Action.AUDIT_READ: Entry(
        "An admin read the audit log over HTTP, or an operator from a shell.",
        {
            "actor": "root",
            "ip": "198.51.100.9",
            "details": {"filter": {"actor": "ada"}, "records": 100},
        },
        must=True,
        details={
            "filter": "what was asked for",
            "records": "how many were given, over HTTP",
            "history": "how many of the newest were asked for, from a shell",
            "after": "id of the record behind which it begins, from a shell",
            **_SHELL,
            **_REASON,
        },
    ),
    Action.AUDIT_ANCHORED: Entry(
        "A worker wrote down where all chains stand, so that none of them can be rewritten alone, "
        "and what the log holds, so that it can be known what was overwritten.",
        {
            "details": {
                "heads": [
                    {
                        "chain": "host-18-d4e5f6.5b0c",
                        "n": 4211,
                        "hash": "9d3c6f" + "0" * 58,
                        "id": "9c2e41aa-17093",
                    },
                ],
                "log": {"oldest": 1, "bytes": 8123904, "capacity_bytes": 268435456},
            }
        },
        details={
            "heads": "of each chain: its name, the newest record's number, hash and id; `ended` "
            "where nothing will follow it",
            "log": "sequence number of the oldest record, bytes in use, and how many there can be",
        },
    ),
    Action.AUDIT_DROPPED: Entry(
        "Records were dropped, because MongoDB was away and the spool on disk was full.",
        {
            "outcome": "failed",
            "details": {
                "records": 1200,
                "actions": {"connection.opened": 1200},
                "since": "2026-01-31T14:03:11.120Z",
            },
        },
        kept=True,
        details={
            "records": "how many",
            "actions": "how many of each action",
            "since": "when the first was dropped",
        },
    ),
    Action.AUDIT_ARCHIVE_TAKEN: Entry(
        "A worker archives from here on: the first one, or after another that stopped or was lost.",
        {
            "details": {
                "directory": "/var/lib/rtserver/archive",
                "term": 7,
                "position": "9c2e41aa-51207",
            }
        },
        kept=True,
        details={
            "directory": "where to",
            "term": "rises by at least one with every takeover",
            "position": "the newest record that the archive had; left out where it had none",
            "torn_bytes": "how much of the newest file was torn, because its writer died; it was "
            "put aside, and the records are read from the log once more",
            "salvaged": "how many whole records could be read of that",
        },
    ),
    Action.AUDIT_ARCHIVE_FAILED: Entry(
        "The archive can't be written. It is tried again; recorded once until it works again.",
        {
            "outcome": "failed",
            "details": {
                "directory": "/var/lib/rtserver/archive",
                "reason": "No space left on device",
                "position": "9c2e41aa-51207",
            },
        },
        kept=True,
        details={
            "directory": "where to",
            "reason": "what the operating system said",
            "position": "the newest record that the archive has, where that is known",
        },
    ),
    Action.AUDIT_ARCHIVE_GAP: Entry(
        "Records are missing in the archive: they were overwritten before they were archived, or "
        "the log was lost. The archive says so too, in a line where they would be.",
        {
            "outcome": "failed",
            "details": {"first": 51208, "last": 60012, "reason": "overwritten"},
        },
        kept=True,
        details={
            "first": "sequence number of the first that is missing; left out where nobody can know",
            "last": "of the last",
            "reason": "`overwritten`, `log_lost` or `log_went_back` (it was put back to an earlier "
            "state)",
        },
    ),
    Action.WORKER_STARTED: Entry(
        "A worker began: the first record of its chain. `target` is the worker.",
        {"target": "host-17-a1b2c3", "details": {"host": "host", "pid": 17, "version": "0.1.0"}},
        kept=True,
        details={
            "host": "where it runs",
            "pid": "its process id",
            "version": "of rtserver",
            "heads": "where the other chains stood, as in `audit.anchored`",
            "log": "what the log held, as in `audit.anchored`",
        },
    ),
    Action.WORKER_STOPPED: Entry(
        "A worker ended in order: the last record of its chain. A chain without it, whose worker "
        "is gone, ended uncleanly. `target` is the worker.",
        {"target": "host-17-a1b2c3"},
        kept=True,
    ),
    Action.WORKER_LOST: Entry(
        "A worker is gone without having said so: killed, crashed or cut off. `target` is the "
        "worker.",
        {
            "target": "host-17-a1b2c3",
            "outcome": "failed",
            "details": {"chain": "host-17-a1b2c3.9e21", "n": 512, "hash": "9d3c6f" + "0" * 58},
        },
        kept=True,
        details={
            "chain": "its chain",
            "n": "the newest of its records that was known to be stored",
            "hash": "that record's hash",
            "id": "that record's id",
        },
    ),
    Action.MONGODB_LOST: Entry(
        "This worker lost its primary of MongoDB.",
        {"outcome": "failed", "details": {}},
        kept=True,
    ),
    Action.MONGODB_FOUND: Entry(
        "This worker has a primary of MongoDB again.",
        {"details": {"away_ms": 4210}},
        kept=True,
        details={"away_ms": "for how long it had none"},
    ),
    Action.WATCH_HISTORY_LOST: Entry(
        "Changes of a followed collection were missed: what came after the last one known is not "
        "in MongoDB's oplog any more. `target` is the watch.",
        {"outcome": "failed", "target": "app.comments:comment"},
        kept=True,
    ),
}


def matching(pattern: str) -> tuple[Action, ...]:
    """The actions that a filter's word stands for: one, or with `*` at the end all that begin so.

    None where there is no such action.
    """
    if pattern.endswith("*"):
        return tuple(action for action in Action if action.value.startswith(pattern[:-1]))
    return tuple(action for action in Action if action.value == pattern)
