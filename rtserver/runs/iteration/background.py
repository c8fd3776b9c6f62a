"""What a language model has to know beside the proposal's files, and where it comes from."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from rtserver.model.identity import Identity
from rtserver.reviews.comments import Comment, CommentJson, CommentStore
from rtserver.reviews.proposals import Proposal
from rtserver.revisions.model import digest_of_files
from rtserver.revisions.openspec import OpenSpec, OpenSpecError
from rtserver.revisions.requirements import deltas_by_capability, requirements_of
from rtserver.revisions.spec_changes import workspace_context

CONFIG = "config.yaml"
MAX_COMMENTS = 1_000
MAX_KNOWN = 16

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Background:
    """What stands in a prompt beside the proposal's files.

    Attributes:
        requirements: by capability, the texts in today's specs of those that the proposal changes.
        config: the workspace's `openspec/config.yaml`; empty where there is none.
        instructions: by artifact, what the change's schema says of it; empty where nobody says.
        threads: what people say that is not settled, one thread each.
    """

    requirements: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    instructions: Mapping[str, str] = field(default_factory=dict)
    threads: Sequence[str] = ()


class Threads(Protocol):
    """Finds the places of comments; see `rtserver.revisions.threads.ThreadService`."""

    async def shown(
        self, identity: Identity, proposal_id: str, comments: Sequence[Comment]
    ) -> list[CommentJson]:
        """Comments with the places that they are about."""


class BackgroundReader:
    """Gathers it anew for each iteration; the schema's instructions are kept."""

    def __init__(
        self, workspaces: Path, openspec: OpenSpec | None, comments: CommentStore, threads: Threads
    ) -> None:
        """Make a reader.

        Args:
            workspaces: the folder with the projects' workspaces.
            openspec: knows the schema's instructions; None where another tool judges proposals.
            comments: where they are.
            threads: where their places are.
        """
        self._workspaces = workspaces
        self._openspec = openspec
        self._comments = comments
        self._threads = threads
        self._known: OrderedDict[str, Mapping[str, str]] = OrderedDict()

    async def of(
        self, identity: Identity, proposal: Proposal, texts: Mapping[str, str]
    ) -> Background:
        """What there is to know of a proposal now.

        Args:
            identity: who asks.
            proposal: whose revision is wanted.
            texts: its files, by path.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        context = await asyncio.to_thread(workspace_context, self._workspaces, proposal.project_id)
        return Background(
            requirements=await asyncio.to_thread(changed_requirements, texts, context),
            config=context.get(CONFIG, b"").decode("utf-8", "replace"),
            instructions=await self._instructions(proposal, texts, context),
            threads=await self._open_threads(identity, proposal.proposal_id),
        )

    async def _instructions(
        self, proposal: Proposal, texts: Mapping[str, str], context: Mapping[str, bytes]
    ) -> Mapping[str, str]:
        if self._openspec is None:
            return {}
        schema = {path: text for path, text in context.items() if not path.startswith("specs/")}
        schema[".openspec.yaml"] = texts.get(".openspec.yaml", "").encode()
        key = digest_of_files(schema)
        if key not in self._known:
            workspace = self._workspaces / proposal.project_id
            try:
                found = await self._openspec.instructions(workspace, proposal.proposal_id)
            except OpenSpecError as error:
                _log.warning("instructions_unknown", error=str(error))
                return {}
            self._known[key] = found
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]

    async def _open_threads(self, identity: Identity, proposal_id: str) -> list[str]:
        comments, more = await self._comments.of_proposal(
            proposal_id, after=None, limit=MAX_COMMENTS, max_bytes=1024 * 1024
        )
        threads = open_threads(await self._threads.shown(identity, proposal_id, comments))
        return [*threads, "(newer comments are not shown)"] if more else threads


def changed_requirements(texts: Mapping[str, str], context: Mapping[str, bytes]) -> dict[str, str]:
    """By capability, today's whole texts of the requirements that a change is about."""
    found: dict[str, str] = {}
    contents = {path: text.encode() for path, text in texts.items()}
    for capability, deltas in deltas_by_capability(contents):
        spec = context.get(f"specs/{capability}/spec.md", b"").decode("utf-8", "replace")
        today = requirements_of(spec)
        names = dict.fromkeys(delta.renamed_from or delta.name for delta in deltas)
        if wanted := [today[name] for name in names if name in today]:
            found[capability] = "\n\n".join(wanted)
    return found


def open_threads(comments: Sequence[CommentJson]) -> list[str]:
    """What is said in threads that are not settled: place, words, and answers."""
    threads: dict[str, list[str]] = {}
    for comment in comments:
        said = f"{comment['author_name']}: {' '.join(comment['text'].split())}"
        root = comment["reply_to"]
        if root is None and not comment["resolved"]:
            threads[comment["id"]] = [f"- {_place(comment)}{said}"]
        elif root in threads:
            threads[root].append(f"  - {said}")
    return ["\n".join(lines) for lines in threads.values()]


def _place(comment: CommentJson) -> str:
    anchor, place = comment["anchor"], comment.get("place")
    if anchor is None:
        return ""
    words = [anchor["path"] if place is None else f"{anchor['path']}:{place['line']}"]
    if place is None:
        words.append("(the text has changed there)")
    if anchor["heading"]:
        words.append(f'under "{anchor["heading"]}"')
    if anchor["quote"]:
        words.append(f'on "{" ".join(anchor["quote"].split())}"')
    return f"{' '.join(words)}: "
