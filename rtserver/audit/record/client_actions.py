"""The catalogue of what clients, admins and operators do."""

from collections.abc import Mapping

from rtserver.audit.record.action_doc import ActionDoc
from rtserver.audit.record.actions import Action

_SOCKET = {"actor": "ada", "project_id": "demo", "connection_id": "9f1c22ab04e7d310"}
_WITH_IP = {**_SOCKET, "ip": "203.0.113.7"}
_RUN = {**_WITH_IP, "target": "add-hold-queue"}

_SHELL = {
    "via": "`shell` where it was done with a command on a host; the actor is the account there",
    "host": "which host, then",
}
_REASON = {"reason": "why it was refused or failed, as a word", "status": "HTTP status, over HTTP"}
_LOG = "`strangers` where it is their log"

CLIENT_ACTIONS: Mapping[Action, ActionDoc] = {
    Action.CONNECTION_OPENED: ActionDoc(
        "A client was let in, over any transport.",
        {**_WITH_IP, "details": {"transport": "websocket"}},
        details={"transport": "`websocket`, `sse` or `sockjs`"},
    ),
    Action.CONNECTION_CLOSED: ActionDoc(
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
    Action.CONNECTION_DENIED: ActionDoc(
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
    Action.CONNECTION_EVICTED: ActionDoc(
        "A user's oldest connection had to go for a new one; `target` is the connection that goes, "
        "`connection_id` the one that came.",
        {**_WITH_IP, "target": "0b77c0ffee5a1e42", "details": {"limit": "connections_per_user"}},
        details={"limit": "which limit", "worker": "the worker that holds it", "code": "4009"},
    ),
    Action.CONNECTION_DISCONNECTED: ActionDoc(
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
    Action.USER_REVOKED: ActionDoc(
        "An admin ended all sessions of a user, on all workers, and has the tokens refused that "
        "were issued until then; `target` is the user. Each session has its `connection.closed`, "
        "and a later attempt with such a token is `token.refused` with the reason `revoked`.",
        {
            "actor": "root",
            "ip": "198.51.100.9",
            "target": "ada",
            "details": {"tokens_before": "2026-01-01T10:00:01.000Z", "connections": 3},
        },
        must=True,
        details={
            "tokens_before": "tokens that were issued before this are refused",
            "connections": "how many connections the user had",
            **_REASON,
        },
    ),
    Action.CONNECTION_LISTED: ActionDoc(
        "An admin looked at who is connected.",
        {"actor": "root", "ip": "198.51.100.9", "details": {"connections": 12}},
        must=True,
        details={"connections": "how many were shown", **_REASON},
    ),
    Action.TOKEN_REFUSED: ActionDoc(
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
    Action.TOKEN_REFRESHED: ActionDoc(
        "A session goes on under another token of the same user; denied where the new one does not "
        "open what the session is for.",
        {**_WITH_IP, "details": {"expires_at": "2026-01-31T15:00:00.000Z"}},
        details={"expires_at": "until when it holds", **_REASON},
    ),
    Action.LIMIT_HIT: ActionDoc(
        "A session ran into one of its limits and is closed.",
        {**_WITH_IP, "outcome": "denied", "details": {"limit": "outbox_bytes", "code": 4008}},
        details={
            "limit": "`outbox_bytes`, `messages_per_s` or `unusable_messages`",
            "code": "the close code that follows",
        },
    ),
    Action.MESSAGE_REFUSED: ActionDoc(
        "A session sent what is no command, or a command while too many were under way. One that "
        "was meant to be a recorded act is recorded as that.",
        {**_WITH_IP, "outcome": "failed", "details": {"reason": "malformed"}},
        details={
            "reason": "`malformed`, `unknown_type`, `invalid`, `too_large`, `binary` or `busy`",
            "command": "what it was meant to be, where it names a command",
        },
    ),
    Action.VALIDATION_STARTED: ActionDoc(
        "A validation was asked for; allowed: it is under way. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "77d0c1f2a3b4e5d6"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.VALIDATION_CANCELLED: ActionDoc(
        "Somebody asked for the end of a validation. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "77d0c1f2a3b4e5d6"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.VALIDATION_ENDED: ActionDoc(
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
    Action.ITERATION_STARTED: ActionDoc(
        "An iteration was asked for; allowed: it is under way. `target` is the proposal.",
        {
            **_RUN,
            "details": {"run_id": "5a1e42d0c1f2a3b4", "instruction": "Name the fees"},
        },
        must=True,
        details={"run_id": "the run", "instruction": "what was asked for", **_REASON},
    ),
    Action.ITERATION_CANCELLED: ActionDoc(
        "Somebody asked for the end of an iteration. `target` is the proposal.",
        {**_RUN, "details": {"run_id": "5a1e42d0c1f2a3b4"}},
        must=True,
        details={"run_id": "the run", **_REASON},
    ),
    Action.ITERATION_ENDED: ActionDoc(
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
    Action.RUN_CANCELLED: ActionDoc(
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
    Action.PROPOSAL_CREATED: ActionDoc(
        "A proposal was made known. `target` is the proposal.",
        {**_RUN, "connection_id": None, "details": {"status": 201}},
        details=_REASON,
    ),
    Action.PROPOSAL_UPDATED: ActionDoc(
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
    Action.PROPOSAL_STATUS_CHANGED: ActionDoc(
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
    Action.COMMENT_UPDATED: ActionDoc(
        "Somebody changed a comment's text, or said that it is settled; `target` is the comment.",
        {
            **_WITH_IP,
            "target": "8d1057318cac3dd5",
            "details": {"proposal_id": "add-hold-queue", "resolved": True},
        },
        details={
            "proposal_id": "what was commented on",
            "resolved": "whether it is settled, where that was said",
            **_REASON,
        },
    ),
    Action.COMMENT_DELETED: ActionDoc(
        "Somebody removed a comment; `target` is the comment.",
        {
            **_WITH_IP,
            "target": "8d1057318cac3dd5",
            "details": {"proposal_id": "add-hold-queue"},
        },
        details={"proposal_id": "what was commented on", **_REASON},
    ),
    Action.REVISION_CREATED: ActionDoc(
        "Somebody sent another text of a proposal, or put an earlier one back; `target` is the "
        "proposal. What an iteration writes is in its own records, and what others write into the "
        "workspace is in the revision alone.",
        {
            **_RUN,
            "details": {
                "revision": 3,
                "digest": "sha256:6d0b...",
                "paths": ["proposal.md"],
                "base": 2,
            },
        },
        details={
            "revision": "the number of the revision that was made",
            "digest": "of its contents",
            "paths": "which files were sent, the first ten",
            "base": "the revision that they were made on",
            "restored_from": "the revision that was put back",
            **_REASON,
        },
    ),
    Action.REVIEW_SUBMITTED: ActionDoc(
        "Somebody gave a verdict on exactly one text; `target` is the proposal.",
        {
            **_RUN,
            "details": {"verdict": "approve", "revision": 3, "digest": "sha256:6d0b..."},
        },
        details={
            "verdict": "`approve`, `request_changes` or `comment`",
            "revision": "the number of the revision that was read",
            "digest": "of its contents: what was approved, whatever the text is later",
            **_REASON,
        },
    ),
    Action.PROPOSAL_DELETED: ActionDoc(
        "A proposal was removed, with its comments and runs. `target` is the proposal.",
        {**_RUN, "connection_id": None, "details": {"version": 6, "status": 204}},
        must=True,
        details={"version": "that it left: one more than its last", **_REASON},
    ),
    Action.COMMENT_CREATED: ActionDoc(
        "A comment was made; its text is not recorded. `target` is the proposal.",
        {
            **_RUN,
            "connection_id": None,
            "details": {"comment_id": "c0ffee5a1e42d0c1", "status": 201},
        },
        details={"comment_id": "the comment", **_REASON},
    ),
    Action.LOCK_ACQUIRED: ActionDoc(
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
    Action.LOCK_RELEASED: ActionDoc(
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
    Action.LOCK_EXPIRED: ActionDoc(
        "A lock ended because nobody renewed it; the actor is who held it. `target` is the "
        "project.",
        {"actor": "ada", "project_id": "demo", "target": "demo"},
        kept=True,
    ),
    Action.EVENT_PUBLISHED: ActionDoc(
        "A service published events: one, a batch, or what came at once on a socket; or an "
        "operator did, from a shell. What was stored together has one record.",
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
    Action.LOG_RESIZED: ActionDoc(
        "An operator gave a log another size, from a shell. A smaller one loses its oldest; "
        "nothing else makes a log smaller.",
        {
            "actor": "root",
            "details": {"log": "audit", "before_bytes": 268435456, "after_bytes": 67108864},
        },
        must=True,
        details={
            "log": "`events`, `audit` or `strangers`",
            "before_bytes": "how much it could hold",
            "after_bytes": "how much it can hold from then on",
            **_SHELL,
            "reason": "why it could not be done",
        },
    ),
    Action.WEBHOOK_ENABLED: ActionDoc(
        "An operator had a webhook's endpoint told again, and at once, from a shell.",
        {"actor": "root", "details": {"endpoint": "ci"}},
        must=True,
        details={"endpoint": "which", **_SHELL},
    ),
    Action.WEBHOOK_SENT_AGAIN: ActionDoc(
        "An operator had dead letters of a webhook sent again, from a shell.",
        {"actor": "root", "details": {"endpoint": "ci", "accepted": 3}},
        details={
            "endpoint": "whom",
            "accepted": "how many were accepted",
            "reason": "why the next one was not",
            **_SHELL,
        },
    ),
    Action.API_CALLED: ActionDoc(
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
    Action.AUDIT_WATCHED: ActionDoc(
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
            "log": _LOG,
            "history": "how many earlier records were asked for",
            "change": "true where the filter of an open connection changed",
            "after": "id of the record behind which it begins, from a shell",
            "reason": "why a change of the filter was refused, as a word",
            **_SHELL,
        },
    ),
    Action.LOG_EPOCH_BEGUN: ActionDoc(
        "An operator said from a shell that a log was put back: it has another epoch, and "
        "positions of before hold no more.",
        {
            "actor": "root",
            "details": {"log": "events", "epoch_before": "92ac87aa", "epoch": "0b1f77d2"},
        },
        must=True,
        details={
            "log": "`events`, `audit` or `audit_strangers`",
            "epoch_before": "the epoch that ended",
            "epoch": "the one that began",
            **_SHELL,
        },
    ),
    Action.AUDIT_READ: ActionDoc(
        "An admin read the audit log over HTTP, or an operator from a shell.",
        {
            "actor": "root",
            "ip": "198.51.100.9",
            "details": {"filter": {"actor": "ada"}, "records": 100},
        },
        must=True,
        details={
            "filter": "what was asked for",
            "log": _LOG,
            "records": "how many were given, over HTTP",
            "history": "how many of the newest were asked for, from a shell",
            "after": "id of the record behind which it begins, from a shell",
            **_SHELL,
            **_REASON,
        },
    ),
}
