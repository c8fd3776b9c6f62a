"""`docs/audit.md`, made from `rtserver.audit.record.catalogue`."""

import json
import sys
from typing import Any

from rtserver.audit.record.action_doc import ActionDoc
from rtserver.audit.record.actions import Action
from rtserver.audit.record.catalogue import CATALOGUE

_INTRODUCTION = """\
# Audit records

<!-- Generated from the catalogue in rtserver/audit/record by `make docs`. Change it there. -->

Every act is a record in a capped collection of its own, in one sequence over all workers. It is
read at `GET /api/v1/audit`, followed at `/ws/audit`, and shown at `/admin`; all three need the role
`admin`. Records never hold a token. From a shell: `python -m rtserver audit`.

    {"type": "audit", "id", "ts", "actor", "action", "outcome", "project_id", "target",
     "connection_id", "ip", "worker", "details"}

`outcome` is `allowed`, `denied` (the server refused it: no right to it, or a limit) or `failed` (it
could not be done). `chain`, `n`, `prev` and `hash` tie each worker's records together;
`python -m rtserver audit verify` checks that nothing was changed, removed or inserted, see
[operations.md](operations.md), "Verifying the audit log".

Whoever asks for, or tries to change, what is in a project that their token does not open is told
that it is not there (404). The record says how it was: `denied`, with the reason `forbidden` and
that project's `project_id`.

Filters: `action` (repeatable, `*` at the end matches what begins so), `actor`, `project_id`,
`target`, `outcome`, `since` and `until` (RFC 3339; `until` itself is not in it).
`GET /api/v1/audit` reads on from a record (`after`) or back from one (`before`);
`GET /api/v1/audit/counts` counts what a filter wants, by time and outcome. The console's exports
have all that its filter and search leave, loaded or not.

## Strangers

What is refused to a client that has shown no valid token has a log of its own, in a collection of
its own (`RT_STRANGER_LOG_BYTES`), with chains, ids and positions of its own: `log=strangers` at
`GET /api/v1/audit` and `/ws/audit`, "Strangers" in the console, `--log strangers` in a shell;
`audit verify` looks at both. So nobody can push records of users out of the audit log by being
refused often, nor fill the spool that users' records wait in. The alternative, one sequence over
both, would have made either the ids or the space common.

There the refusals of an address for a reason are joined. The first five are records as any other.
Those that follow within a minute are one record, with `count`, and `first` and `last`, when they
were. Of IPv6 a network of 64 bits counts as an address. A worker tells 250 addresses and reasons
apart at a time; what comes beyond is joined by reason alone, with no `ip`. What is a record by
itself stands in the log of users as well, so that who watches that one sees the beginning of it: 50
records at once, and in a day no more than a 64th of that log's size. A worker that is killed loses
the counts of that minute. This log is not archived: it holds the newest, whatever a stranger does.
What a user is refused whose token is valid, or was when their session began, is in the log of
users.

## Reading

A path in a record is cut to 200 characters. The collections overwrite their oldest records. Those
of users are kept in files before that with `RT_AUDIT_ARCHIVE_DIR`: see
[operations.md](operations.md), "The audit archive".

## Signed checkpoints

Without a key all of this is only as safe as what `audit verify` can compare: who can write to
MongoDB and to the archive can make much of it fit. With one, each worker signs every
`RT_AUDIT_CHECKPOINT_INTERVAL_S`, and at its end, what it recorded and found:

```sh
python -m rtserver audit key --new audit.example.com --file /etc/rtserver/audit.key
export RT_AUDIT_SIGNING_KEY_FILE=/etc/rtserver/audit.key   # the same for all workers of a server
export RT_AUDIT_CHECKPOINTS_DIR=/mnt/elsewhere/checkpoints # or RT_AUDIT_WITNESS_URL, or both
python -m rtserver audit verify                            # looks at signatures, too
python -m rtserver audit verify --offline --keys PUBLIC_KEYS --checkpoints CHECKPOINTS ARCHIVE
```

The public key is what `audit key` and `check` print, and
`GET /.well-known/rtserver-audit-keys`. An auditor takes it from where an attacker can't write.

**What is signed** are checkpoints ([tlog-checkpoint](https://c2sp.org/tlog-checkpoint)) as
[signed notes](https://c2sp.org/signed-note) with Ed25519: an origin, a number of entries, and the
root of a Merkle tree over them (RFC 6962). An entry is the 32 bytes of a record's `hash`. A worker
has up to three trees, which nobody else writes; `LOG` is `audit` or `strangers`, `ID` the id of
the first record that a tree has:

| origin | entries |
| --- | --- |
| `KEY/LOG/CHAIN` | the records of its own chain, from the first, as it stored them |
| `KEY/LOG/CHAIN/order/ID` | those of all workers, in the order in which it found them |
| `KEY/LOG/CHAIN/archive/ARCHIVE/ID` | what it put into an archive (see its `archive.json`) |

**Where they go.** Into the log, as `audit.checkpointed`, and so into the archive, wherever
something else was recorded since the last; and outside. The directory has a file for each tree,
with its newest checkpoint: some 300 bytes, of which a worker that ended leaves three. A witness is
sent each with a POST, as plain text, with the tree's name in `X-Tree`; a status of 200 to 299 says
that it has it. (It is no [tlog-witness](https://c2sp.org/tlog-witness): that one knows in advance
which logs there are, and the trees here are as new as their workers.) What a place does not take
waits, the newest of each tree alone, and holds up nothing.

**What is found by it** beside all that is found without: whatever was changed, removed, inserted
or moved before a checkpoint, between whichever records, though everything in MongoDB and in the
archive was made to fit; with the checkpoints from outside also an end that was removed, of the log,
of a chain or of an archive, and a log that was made anew altogether.

**What is not:** what is done within the interval before it is signed (to others' records; a
worker's own chain is signed as it recorded it), or where a worker was killed; records from before
there was a key, and those of commands in a shell, which are signed in the order alone; anything by
whoever has the key. Where the first records of a tree are overwritten it is taken from the nodes
in the oldest checkpoint that is left. `signed` in a report says up to which number each chain is
signed. A log that was lost, or put back by an operator, does not fit what was signed either: put
the old checkpoints away with it. Another key needs no more than another file and new workers; give
`--keys` the public keys of all times.

**With another tool.** Open the note with the public key. Each line of the archive is a record:
without `"id":"...",` at its beginning and `,"hash":"..."` before its last brace, SHA-256 of it is
its `hash`. Lines of a chain (`chain`, `n` from 1), or all lines from `ID` on, are the tree's
entries, and `size` of them have the root. For one record there is a proof,
[tlog-proof](https://c2sp.org/tlog-proof): `audit verify --prove ID` prints it; with it and the
public key that record alone is enough.
"""


def render_markdown() -> str:
    """The whole of `docs/audit.md`, ending in one line end."""
    parts = [_INTRODUCTION]
    for action, entry in sorted(CATALOGUE.items()):
        parts.append(f"\n## `{action.value}`\n\n{entry.meaning}{_promise(entry)}\n")
        if entry.details:
            parts.append("\n| in `details` | |\n| --- | --- |\n")
            parts.extend(f"| `{name}` | {words} |\n" for name, words in entry.details.items())
        example = json.dumps(_example(action, entry), ensure_ascii=False)
        parts.append(f"\n```json\n{example}\n```\n")
    return "".join(parts)


def _promise(entry: ActionDoc) -> str:
    if entry.must:
        return " Refused with 503 rather than done while it can't be recorded."
    return " Recorded also while the spool is full." if entry.kept else ""


def _example(action: Action, entry: ActionDoc) -> dict[str, Any]:
    return {"type": "audit", "action": action.value, "outcome": "allowed", **entry.example}


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
