"""The catalogue of what the server itself does and goes through."""

from collections.abc import Mapping

from rtserver.audit.record.action_doc import ActionDoc
from rtserver.audit.record.actions import Action
from rtserver.model.version import VERSION

SERVER_ACTIONS: Mapping[Action, ActionDoc] = {
    Action.AUDIT_ANCHORED: ActionDoc(
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
    Action.AUDIT_CHECKPOINTED: ActionDoc(
        "A worker signed where its chain stood, and in which order it found the records of all "
        'chains; only where a key is set. See "Signed checkpoints".',
        {
            "details": {
                "checkpoints": [
                    {
                        "size": 4211,
                        "root": "5ba27c" + "0" * 58,
                        "key": "a1b2c3d4",
                        "signature": "77f0e1" + "0" * 122,
                        "nodes": ["9d3c6f" + "0" * 58],
                        "first": "9c2e41aa-16094",
                    },
                ],
            }
        },
        details={
            "checkpoints": "each with `size` and `root` of its tree, the `key`'s id, the "
            "`signature`, the `nodes` that the tree consists of, for whoever lacks the records "
            "before; `first`, the position with which the tree begins, unless it is the chain's; "
            "`archive`, the id of the archive that it is about",
        },
    ),
    Action.AUDIT_DROPPED: ActionDoc(
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
    Action.AUDIT_ARCHIVE_TAKEN: ActionDoc(
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
    Action.AUDIT_ARCHIVE_FAILED: ActionDoc(
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
    Action.AUDIT_ARCHIVE_GAP: ActionDoc(
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
    Action.WORKER_STARTED: ActionDoc(
        "A worker began: the first record of its chain. `target` is the worker.",
        {"target": "host-17-a1b2c3", "details": {"host": "host", "pid": 17, "version": VERSION}},
        kept=True,
        details={
            "host": "where it runs",
            "pid": "its process id",
            "version": "of rtserver",
            "heads": "where the other chains stood, as in `audit.anchored`",
            "log": "what the log held, as in `audit.anchored`",
        },
    ),
    Action.WORKER_STOPPED: ActionDoc(
        "A worker ended in order: the last record of its chain. A chain without it, whose worker "
        "is gone, ended uncleanly. `target` is the worker.",
        {"target": "host-17-a1b2c3"},
        kept=True,
    ),
    Action.WORKER_LOST: ActionDoc(
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
    Action.MONGODB_LOST: ActionDoc(
        "This worker lost its primary of MongoDB.",
        {"outcome": "failed", "details": {}},
        kept=True,
    ),
    Action.MONGODB_FOUND: ActionDoc(
        "This worker has a primary of MongoDB again.",
        {"details": {"away_ms": 4210}},
        kept=True,
        details={"away_ms": "for how long it had none"},
    ),
    Action.WATCH_HISTORY_LOST: ActionDoc(
        "Changes of a followed collection were missed: what came after the last one known is not "
        "in MongoDB's oplog any more. `target` is the watch.",
        {"outcome": "failed", "target": "app.comments:comment"},
        kept=True,
    ),
    Action.WEBHOOK_DEAD_LETTERED: ActionDoc(
        "Messages of a webhook were given up: the endpoint did not accept them in time. `target` "
        "is the endpoint.",
        {
            "outcome": "failed",
            "project_id": "alpha",
            "target": "ci",
            "details": {"count": 3, "reason": "status 503"},
        },
        kept=True,
        details={"count": "how many", "reason": "what was wrong with the last attempt"},
    ),
    Action.WEBHOOK_GAP: ActionDoc(
        "A webhook's endpoint can't be told of some events any more. `target` is the endpoint.",
        {
            "outcome": "failed",
            "project_id": "alpha",
            "target": "ci",
            "details": {
                "after": "63043bd6-17",
                "before": "63043bd6-90",
                "reason": "overwritten",
            },
        },
        kept=True,
        details={
            "after": "the last event before them",
            "before": "where it goes on: behind this place",
            "reason": "`overwritten` or `log_lost`",
        },
    ),
    Action.WEBHOOK_DISABLED: ActionDoc(
        "A webhook's endpoint is told nothing more. `target` is the endpoint.",
        {"outcome": "failed", "target": "ci", "details": {"reason": "it answered 410 Gone"}},
        kept=True,
        details={"reason": "why"},
    ),
}
