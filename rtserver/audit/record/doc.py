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
