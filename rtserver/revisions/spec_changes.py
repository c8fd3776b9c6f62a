"""What a revision does to today's specs, requirement by requirement."""

import asyncio
import contextlib
import tempfile
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from rtserver.lib.threads import see_through
from rtserver.model.field_types import Digest, ProposalId, RevisionNumber
from rtserver.model.identity import Identity
from rtserver.revisions.model import Revision, digest_of_files
from rtserver.revisions.openspec import OpenSpec, OpenSpecError
from rtserver.revisions.requirements import (
    RequirementChangeJson,
    TasksJson,
    deltas_by_capability,
    requirements_of,
    tasks_of,
)
from rtserver.revisions.service import RevisionService
from rtserver.runs.files.folders import open_file, open_folder, open_root, read_bytes
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import read_contents

SPECS = "specs"
MAX_KNOWN = 64
MAX_CONFIG_BYTES = 64 * 1024
MAX_AT_ONCE = 2
"""A process of Node takes half a second of a processor and 80 MB."""


class SpecChangesJson(TypedDict):
    """What a revision does to the specs.

    Attributes:
        specs_digest: of the specs that it was compared with, made as a revision's is.
        requirements: those that it adds, modifies, removes or renames, by capability.
        tasks: how far its tasks are.
        note: why there are no diffs, where there are none.
    """

    proposal_id: ProposalId
    number: RevisionNumber
    against: Literal["specs"]
    specs_digest: Digest
    requirements: list[RequirementChangeJson]
    tasks: TasksJson
    note: NotRequired[str]


class SpecChanges:
    """Compares revisions with the specs of their project's workspace."""

    def __init__(self, revisions: RevisionService, openspec: OpenSpec, workspaces: Path) -> None:
        self._revisions = revisions
        self._openspec = openspec
        self._workspaces = workspaces
        self._known: OrderedDict[tuple[str, str, str], SpecChangesJson] = OrderedDict()
        self._turn = asyncio.Semaphore(MAX_AT_ONCE)

    async def of(self, identity: Identity, proposal_id: str, number: str) -> SpecChangesJson:
        """What a revision does to the specs as they are now.

        Args:
            identity: who asks.
            proposal_id: whose revision.
            number: its number, or `current`.

        Raises:
            NotFoundError: there is no such revision that this user may see.
            StoreUnavailableError: MongoDB does not answer.
        """
        revision = await self._revisions.get(identity, proposal_id, number)
        context = await asyncio.to_thread(workspace_context, self._workspaces, revision.project_id)
        specs = {
            path.removeprefix("specs/"): content
            for path, content in context.items()
            if path.startswith("specs/")
        }
        key = (proposal_id, revision.digest, await asyncio.to_thread(digest_of_files, context))
        if key not in self._known:
            contents = await self._revisions.contents(revision)
            changes = await asyncio.to_thread(_changes, revision, contents, specs)
            await self._add_diffs(changes, revision, contents, context)
            self._known[key] = changes
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return {**self._known[key], "number": revision.number}

    async def _add_diffs(
        self,
        changes: SpecChangesJson,
        revision: Revision,
        contents: Mapping[str, bytes],
        context: Mapping[str, bytes],
    ) -> None:
        try:
            async with self._turn:
                _put_diffs(changes, await self._diffs(revision, contents, context))
        except OpenSpecError as error:
            changes["note"] = str(error)

    async def _diffs(
        self, revision: Revision, contents: Mapping[str, bytes], context: Mapping[str, bytes]
    ) -> list[dict[str, Any]]:
        """OpenSpec's own, made in a copy that holds exactly this revision and these specs."""
        with tempfile.TemporaryDirectory(prefix="rtserver-openspec-") as folder:
            root = Path(folder)
            await see_through(
                asyncio.to_thread(_lay_out, root, revision.proposal_id, contents, context)
            )
            return await self._openspec.diffs(root, revision.proposal_id)


def workspace_context(workspaces: Path, project_id: str) -> dict[str, bytes]:
    """Specs, schemas and settings of a workspace; what is not there is left out. Blocks."""
    found: dict[str, bytes] = {}
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(open_root(workspaces))
            openspec = stack.enter_context(open_folder((project_id, "openspec"), dir_fd=root))
        except (OSError, UnsafePathError):
            return found
        for name in (SPECS, "schemas"):
            with contextlib.suppress(OSError, UnsafePathError):
                folder = stack.enter_context(open_folder((name,), dir_fd=openspec))
                files = read_contents(folder).files
                found |= {f"{name}/{path}": content for path, content in files.items()}
        with (
            contextlib.suppress(OSError, UnsafePathError),
            open_file("config.yaml", dir_fd=openspec) as fd,
        ):
            content = read_bytes(fd, MAX_CONFIG_BYTES)
            if content is not None:
                found["config.yaml"] = content
    return found


def _lay_out(
    root: Path, change: str, contents: Mapping[str, bytes], context: Mapping[str, bytes]
) -> None:
    openspec = root / "openspec"
    for base, files in ((openspec, context), (openspec / "changes" / change, contents)):
        for path, content in files.items():
            target = base / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _changes(
    revision: Revision, contents: Mapping[str, bytes], specs: Mapping[str, bytes]
) -> SpecChangesJson:
    requirements: list[RequirementChangeJson] = []
    for capability, deltas in deltas_by_capability(contents):
        today = requirements_of(_text(specs.get(f"{capability}/spec.md")))
        for delta in deltas:
            change: RequirementChangeJson = {
                "capability": capability,
                "operation": delta.operation,
                "name": delta.name,
                "before": today.get(delta.renamed_from or delta.name),
                "after": None if delta.operation == "removed" else delta.text or None,
                "diff": None,
            }
            if delta.renamed_from is not None:
                change["renamed_from"] = delta.renamed_from
            requirements.append(change)
    return {
        "proposal_id": revision.proposal_id,
        "number": revision.number,
        "against": "specs",
        "specs_digest": digest_of_files(specs),
        "requirements": requirements,
        "tasks": tasks_of(_text(contents.get("tasks.md"))),
    }


def _put_diffs(changes: SpecChangesJson, deltas: list[dict[str, Any]]) -> None:
    """Give each requirement its diff: OpenSpec names none, but keeps their order."""
    said: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for delta in deltas:
        diff = delta.get("diff")
        key = (str(delta.get("spec")), str(delta.get("operation", "")).lower())
        said[key].append(diff if isinstance(diff, str) else None)
    for change in changes["requirements"]:
        waiting = said[change["capability"], change["operation"]]
        if waiting:
            change["diff"] = waiting.pop(0)


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
