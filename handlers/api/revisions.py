"""`/api/v1/proposals/{proposal_id}/revisions`: what a proposal says, now and before."""

import asyncio
from typing import Annotated, ClassVar, NotRequired, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import Digest, ProposalId, RevisionNumber, line_of
from rtserver.revisions.model import (
    CURRENT,
    NUMBER,
    FileChange,
    NoRevisionError,
    Revision,
    RevisionFileJson,
    RevisionJson,
    revision_number,
)
from rtserver.revisions.service import MAX_NOTE_CHARS
from rtserver.revisions.spec_changes import SPECS, SpecChangesJson
from rtserver.runs.iteration.diffs import diffs_of

MAX_REVISIONS = 100
MAX_NUMBER = 1_000_000_000
MAX_FILES_SENT = 500
MAX_DIFF_BYTES = 1024 * 1024
MAX_RECORDED_PATHS = 10
MARKDOWN = "text/markdown; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"


class RevisionsQuery(msgspec.Struct):
    """Which revisions.

    Attributes:
        before: those with a smaller number.
        limit: so many at most.
    """

    before: Annotated[int, msgspec.Meta(ge=1)] = MAX_NUMBER
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_REVISIONS)] = MAX_REVISIONS


class RevisionsJson(TypedDict):
    """Revisions, newest first.

    Attributes:
        more: whether there are more after these.
    """

    revisions: list[RevisionJson]
    more: bool


class NewRevisionBody(msgspec.Struct):
    """The body of `POST .../revisions`.

    Attributes:
        base: the number of the revision that the changes were made on; 0: there was none.
        files: by path the whole text, or null where the file is to be removed.
        note: what the writer says of it.
    """

    base: Annotated[int, msgspec.Meta(ge=0)]
    files: Annotated[dict[str, str | None], msgspec.Meta(min_length=1, max_length=MAX_FILES_SENT)]
    note: Annotated[str, line_of(MAX_NOTE_CHARS, min_chars=0)] = ""


class RevisionFilesJson(TypedDict):
    """The files of a revision."""

    proposal_id: ProposalId
    number: RevisionNumber
    digest: Digest
    files: list[RevisionFileJson]


class ChangedFileJson(TypedDict):
    """How a file differs between two revisions.

    Attributes:
        diff: unified; empty where it is too long, or no text.
        truncated: it is too long to be shown.
        binary: one of both is no text.
    """

    path: str
    change: FileChange
    diff: str
    truncated: NotRequired[bool]
    binary: NotRequired[bool]


class ChangesJson(TypedDict):
    """How the files of a revision differ from those of another one."""

    proposal_id: ProposalId
    number: RevisionNumber
    against: RevisionNumber
    files: list[ChangedFileJson]


class ChangesQuery(msgspec.Struct):
    """What to compare with.

    Attributes:
        against: the number of another revision, `current` for the newest, or `specs` for the
            requirements of today's specs.
    """

    against: Annotated[str, msgspec.Meta(pattern=f"^({NUMBER.pattern}|{CURRENT}|{SPECS})$")]


class _RevisionMaker(ApiHandler):
    audit_actions: ClassVar = {"POST": Action.REVISION_CREATED}

    def answer_revision(self, revision: Revision, *, made: bool) -> None:
        """Answer with a revision that was made, or is the newest all the same."""
        self.acting.project_id = revision.project_id
        self.audit_details |= {"revision": revision.number, "digest": revision.digest}
        if made:
            self.set_header(
                "Location",
                f"/api/v1/proposals/{revision.proposal_id}/revisions/{revision.number}/files",
            )
        self.json(revision.to_json(), 201 if made else 200)


class RevisionsHandler(_RevisionMaker):
    """The revisions of a proposal."""

    @operation(
        "listRevisions",
        {200: Answer((RevisionsJson,), description="The revisions")},
        query=RevisionsQuery,
        problems=(404,),
    )
    async def get(self, proposal: str) -> None:
        """List the revisions of a proposal's text, newest first.

        A page may be shorter than `limit` and have more after it: it is bounded in bytes too.
        """
        query = self.query(RevisionsQuery)
        revisions, more = await self.context.revisions.of_proposal(
            self.identity,
            ids.proposal_id(proposal),
            before=None if query.before == MAX_NUMBER else query.before,
            limit=query.limit,
        )
        self.json({"revisions": [each.to_json() for each in revisions], "more": more})

    @operation(
        "addRevision",
        {
            200: Answer((RevisionJson,), description="The newest: everything was so already"),
            201: Answer((RevisionJson,), headers=("Location",), description="The new revision"),
        },
        body=(NewRevisionBody,),
        problems=(403, 404, 409),
    )
    async def post(self, proposal: str) -> None:
        """Change some of a proposal's files: all of it or nothing.

        409 `conflict` where one of the files was changed since the revision `base`; 422
        `unsafe_path` where one may not be written. An approved proposal goes back to `in_review`.
        """
        proposal_id = ids.proposal_id(proposal)
        body = self.body(NewRevisionBody)
        self.audit_details |= {"base": body.base, "paths": [*body.files][:MAX_RECORDED_PATHS]}
        async with self.about(proposal_id):
            revision, made = await self.context.revisions.write(
                self.identity, proposal_id, body.base, body.files, body.note
            )
        self.answer_revision(revision, made=made)


class RestoreHandler(_RevisionMaker):
    """Puts an earlier text back."""

    @operation(
        "restoreRevision",
        {
            200: Answer((RevisionJson,), description="The newest: everything was so already"),
            201: Answer((RevisionJson,), headers=("Location",), description="The new revision"),
        },
        problems=(403, 404, 409, 422),
    )
    async def post(self, proposal: str, number: str) -> None:
        """Make a new revision with the contents of an earlier one."""
        proposal_id = ids.proposal_id(proposal)
        try:
            earlier = revision_number(number)
        except NoRevisionError:
            raise Problem(
                404, "A revision that is put back is named by its number", "no_revision"
            ) from None
        self.audit_details["restored_from"] = earlier
        async with self.about(proposal_id):
            revision, made = await self.context.revisions.restore(
                self.identity, proposal_id, earlier
            )
        self.answer_revision(revision, made=made)


class RevisionFilesHandler(ApiHandler):
    """The files of a revision."""

    @operation(
        "listRevisionFiles",
        {200: Answer((RevisionFilesJson,), description="The files")},
        problems=(404,),
    )
    async def get(self, proposal: str, number: str) -> None:
        """List the files of a revision, `current` being the newest."""
        revision = await self.context.revisions.get(
            self.identity, ids.proposal_id(proposal), number
        )
        shown = revision.to_json()
        self.json(
            {
                "proposal_id": revision.proposal_id,
                "number": revision.number,
                "digest": revision.digest,
                "files": shown["files"],
            }
        )


class RevisionFileHandler(ApiHandler):
    """One file of a revision."""

    _etag: str | None = None

    def compute_etag(self) -> str | None:
        """The content's hash; Tornado answers 304 by it where `If-None-Match` has it."""
        return self._etag

    @operation(
        "getRevisionFile",
        {
            200: Answer(
                (str,),
                headers=("ETag",),
                media_types=("text/markdown", "text/plain", BINARY),
                description="Its bytes",
            ),
            304: Answer(headers=("ETag",), description="It is as it was"),
        },
        problems=(404,),
    )
    async def get(self, proposal: str, number: str, path: str) -> None:
        """Read a file of a revision, `current` being the newest."""
        revisions = self.context.revisions
        revision = await revisions.get(self.identity, ids.proposal_id(proposal), number)
        file, content = await revisions.content(revision, path)
        self._etag = f'"{file.sha256}"'
        # Never as something that a browser runs: the bytes are a model's, or anybody's.
        self.set_header("Content-Type", _media_type(path, content))
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(content)


class RevisionChangesHandler(ApiHandler):
    """How two revisions differ."""

    @operation(
        "compareRevisions",
        {
            200: Answer(
                (ChangesJson, SpecChangesJson),
                description="The differences, file by file; from the specs, by requirement",
            )
        },
        query=ChangesQuery,
        problems=(404,),
    )
    async def get(self, proposal: str, number: str) -> None:
        """Compare a revision with another one, or with the specs of today.

        From another revision its files differ; from the specs, each requirement that it adds,
        modifies, removes or renames, as OpenSpec sees it.
        """
        revisions, proposal_id = self.context.revisions, ids.proposal_id(proposal)
        against = self.query(ChangesQuery).against
        if against == SPECS:
            self.json(await self.context.spec_changes.of(self.identity, proposal_id, number))
            return
        after = await revisions.get(self.identity, proposal_id, number)
        before = await revisions.get(self.identity, proposal_id, against)
        texts = await revisions.texts(before, after)
        files = await asyncio.to_thread(_changed_files, texts)
        self.json(
            {
                "proposal_id": proposal_id,
                "number": after.number,
                "against": before.number,
                "files": files,
            }
        )


def _changed_files(
    contents: dict[str, tuple[bytes | None, bytes | None]],
) -> list[ChangedFileJson]:
    """Blocks for as long as diffs may take: call it in a thread."""
    texts: dict[str, tuple[str, str]] = {}
    changed: dict[str, ChangedFileJson] = {}
    for path, (old, new) in contents.items():
        change = FileChange.MODIFIED
        if old is None:
            change = FileChange.ADDED
        elif new is None:
            change = FileChange.REMOVED
        changed[path] = {"path": path, "change": change, "diff": ""}
        try:
            texts[path] = ((old or b"").decode(), (new or b"").decode())
        except UnicodeDecodeError:
            changed[path]["binary"] = True
    for diff in diffs_of(texts, MAX_DIFF_BYTES):
        file = changed[str(diff["path"])]
        file["diff"] = str(diff["diff"])
        if diff.get("truncated"):
            file["truncated"] = True
    return list(changed.values())


def _media_type(path: str, content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError:
        return BINARY
    return MARKDOWN if path.endswith(".md") else PLAIN
