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
`target`, `outcome`, `since` (RFC 3339).

The collection overwrites its oldest records. `RT_AUDIT_ARCHIVE_DIR` keeps them in files before
that: see [operations.md](operations.md), "The audit archive".
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
