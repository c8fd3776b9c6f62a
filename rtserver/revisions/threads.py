"""Comments on places in a text: the place is checked when one is made, and found again later."""

import asyncio
from collections.abc import Sequence

from rtserver.model import texts
from rtserver.model.errors import InvalidError
from rtserver.model.identity import Identity
from rtserver.reviews.comments import (
    MAX_HEADING_CHARS,
    MAX_LINE,
    MAX_PATH_CHARS,
    MAX_QUOTE_CHARS,
    Anchor,
    Comment,
    CommentJson,
    CommentService,
)
from rtserver.reviews.proposals import ProposalStore, visible_proposal
from rtserver.revisions.anchors import SearchedText
from rtserver.revisions.model import NoRevisionError, Revision
from rtserver.revisions.service import RevisionService


class ThreadService:
    """Comments as `CommentService` takes and shows them, with the places that they are about."""

    def __init__(
        self, comments: CommentService, proposals: ProposalStore, revisions: RevisionService
    ) -> None:
        self._comments = comments
        self._proposals = proposals
        self._revisions = revisions

    async def add(
        self,
        identity: Identity,
        proposal_id: str,
        text: str,
        *,
        anchor: Anchor | None,
        reply_to: str | None,
    ) -> tuple[Comment, CommentJson]:
        """Comment on a proposal, or on a place in its text.

        Raises:
            InvalidError: the revision has no such file, or the file no such line.
            As `CommentService.add`.
        """
        if anchor is not None:
            anchor = await self._checked(identity, proposal_id, anchor)
        made = await self._comments.add(
            identity, proposal_id, text, anchor=anchor, reply_to=reply_to
        )
        (shown,) = await self.shown(identity, proposal_id, [made])
        return made, shown

    async def _checked(self, identity: Identity, proposal_id: str, anchor: Anchor) -> Anchor:
        for name, value, limit in (
            ("heading", anchor.heading, MAX_HEADING_CHARS),
            ("quote", anchor.quote, MAX_QUOTE_CHARS),
            ("path", anchor.path, MAX_PATH_CHARS),
        ):
            if value is not None:
                texts.prose(name, value, limit)
        if anchor.line is not None and not 1 <= anchor.line <= MAX_LINE:
            raise InvalidError("anchor.line is no line of a file")
        try:
            revision = await self._revisions.get(identity, proposal_id, str(anchor.revision))
        except NoRevisionError as error:
            raise InvalidError(f"anchor.revision: {error}") from None
        if revision.file(anchor.path) is None:
            raise InvalidError(f"anchor.path: revision {revision.number} has no such file")
        text = None if anchor.line is None else await self._text(revision, anchor.path)
        if text is not None and anchor.line is not None:
            lines = SearchedText(text).lines
            if anchor.line > lines:
                raise InvalidError(f"anchor.line: the file has {lines} lines")
        return anchor

    async def shown(
        self, identity: Identity, proposal_id: str, comments: Sequence[Comment]
    ) -> list[CommentJson]:
        """Comments as clients see them, with the places of their anchors in the newest revision.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        shown = [comment.to_json() for comment in comments]
        anchors = {n: c.anchor for n, c in enumerate(comments) if c.anchor is not None}
        if not anchors:
            return shown
        newest = (await visible_proposal(self._proposals, identity, proposal_id)).revision
        numbers = {anchor.revision for anchor in anchors.values()}
        if newest is None:
            return shown
        revisions = {
            number: await self._revisions.get(identity, proposal_id, str(number))
            for number in numbers | {newest.number}
        }
        now = revisions[newest.number]
        paths = {anchor.path for anchor in anchors.values()}
        contents = {path: await self._text(now, path) for path in paths}
        lines = await asyncio.to_thread(_lines, anchors, revisions, now, contents)
        for number, line in lines.items():
            shown[number]["place"] = (
                None if line is None else {"revision": now.number, "line": line}
            )
            shown[number]["outdated"] = line is None
        return shown

    async def _text(self, revision: Revision, path: str) -> str | None:
        try:
            _, content = await self._revisions.content(revision, path)
        except NoRevisionError:
            return None
        return content.decode("utf-8", "replace")


def _lines(
    anchors: dict[int, Anchor],
    revisions: dict[int, Revision],
    now: Revision,
    contents: dict[str, str | None],
) -> dict[int, int | None]:
    """Of each anchor where its place is now. Blocks for as long as that takes."""
    lines: dict[int, int | None] = {}
    searched = {
        path: None if text is None else SearchedText(text) for path, text in contents.items()
    }
    for number, anchor in anchors.items():
        text = searched[anchor.path]
        before, after = revisions[anchor.revision].file(anchor.path), now.file(anchor.path)
        unchanged = before is not None and after is not None and before.sha256 == after.sha256
        lines[number] = None if text is None else text.line_of(anchor, unchanged=unchanged)
    return lines
