"""`/api/v1/projects/{project_id}/proposals` and `/api/v1/proposals/{proposal_id}`."""

import re
from typing import Annotated, ClassVar

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from rtserver.audit.record.actions import Action
from rtserver.interface.snapshot import ProposalsJson
from rtserver.model import ids
from rtserver.model.errors import InvalidError
from rtserver.model.field_types import ProposalId, UserId, line_of
from rtserver.reviews.pages import DEFAULT_PAGE, Cursor, PageLimit
from rtserver.reviews.proposals import (
    MAX_REVIEWERS,
    MAX_TITLE_CHARS,
    NewProposal,
    Proposal,
    ProposalChanges,
    ProposalJson,
    visible_proposal,
)
from rtserver.reviews.statuses import ProposalStatus

_ETAG = re.compile(r'\s*(?:(W/)?"([^"]*)"|\*)\s*(?:,|$)')
IF_MATCH_TAKES = 'If-Match takes entity tags such as "3", or *'
MAX_SLUG_CHARS = 100

Title = Annotated[str, line_of(MAX_TITLE_CHARS)]
Reviewers = Annotated[list[UserId], msgspec.Meta(max_length=MAX_REVIEWERS)]


class NewProposalBody(msgspec.Struct):
    """The body of `POST .../proposals`; without an `id` it is made from the title."""

    title: Title
    id: ProposalId | None = None
    author: UserId | None = None
    reviewers: Reviewers = []
    status: ProposalStatus = ProposalStatus.DRAFT


class ProposalChangesBody(msgspec.Struct):
    """The body of `PATCH .../proposals/{id}`: what is to be different."""

    id: ProposalId | None = None
    title: Title | None = None
    author: UserId | None = None
    reviewers: Reviewers | None = None
    status: ProposalStatus | None = None


class GetHeaders(msgspec.Struct):
    """Request headers of reading a proposal.

    Attributes:
        if_none_match: entity tags; where the proposal's is among them the answer is 304.
    """

    if_none_match: str | None = msgspec.field(name="If-None-Match", default=None)


class PatchHeaders(msgspec.Struct):
    """Request headers of changing or removing a proposal.

    Attributes:
        if_match: entity tags, or *; where the proposal's is not among them the answer is 412.
    """

    if_match: list[str] = msgspec.field(name="If-Match", default_factory=list)


class ProposalsQuery(msgspec.Struct):
    """Which proposals.

    Attributes:
        after: `next` of the page before; `proposals_next` of a snapshot.
        limit: so many at most.
    """

    after: Cursor | None = None
    limit: PageLimit = DEFAULT_PAGE


class ProposalsHandler(ApiHandler):
    """Lists proposals, and makes them known."""

    audit_actions: ClassVar = {"POST": Action.PROPOSAL_CREATED}

    @operation(
        "listProposals",
        {200: Answer((ProposalsJson,), description="A page of the proposals")},
        query=ProposalsQuery,
        problems=(403,),
    )
    async def get(self, project: str) -> None:
        """List a project's proposals, in the order in which they were made.

        A page may be shorter than `limit` and have more after it: it is bounded in bytes too.
        """
        project_id = self.open_project(project)
        query = self.query(ProposalsQuery)
        after = self.place("after", query.after)
        self.json(await self.context.snapshots.page(project_id, after=after, limit=query.limit))

    @operation(
        "createProposal",
        {201: Answer((ProposalJson,), headers=("ETag", "Location"), description="The proposal")},
        body=(NewProposalBody,),
        problems=(403, 409),
    )
    async def post(self, project: str) -> None:
        """Make a proposal known.

        Without an `id` it is made from the title. 409 where it is taken. The caller is its author
        unless one is named. As `approved` only admins and services make one known.
        """
        project_id = self.open_project(project)
        body = self.body(NewProposalBody)
        self.audit_target = _slug(body.title) if body.id is None else body.id
        proposal = await self.context.editing.create(
            self.identity,
            project_id,
            NewProposal(
                proposal_id=self.audit_target,
                title=body.title,
                author=body.author,
                reviewers=body.reviewers,
                status=body.status,
            ),
        )
        proposal = await self.context.revisions.looked_at(self.identity, proposal.proposal_id)
        self.set_header("Location", f"/api/v1/proposals/{proposal.proposal_id}")
        self.set_header("ETag", proposal.etag)
        self.json(proposal.to_json(), 201)


class ProposalHandler(ApiHandler):
    """One proposal, with its version as entity tag."""

    audit_actions: ClassVar = {
        "PATCH": Action.PROPOSAL_UPDATED,
        "DELETE": Action.PROPOSAL_DELETED,
    }
    _proposal: Proposal | None = None

    def compute_etag(self) -> str | None:
        """The version; Tornado answers 304 by it where `If-None-Match` has it."""
        return None if self._proposal is None else self._proposal.etag

    @operation(
        "getProposal",
        {
            200: Answer((ProposalJson,), headers=("ETag",), description="The proposal"),
            304: Answer(headers=("ETag",), description="It is as it was"),
        },
        headers=GetHeaders,
        problems=(404,),
    )
    async def get(self, proposal: str) -> None:
        """Look at a proposal."""
        proposal_id = ids.proposal_id(proposal)
        self._proposal = await visible_proposal(self.context.proposals, self.identity, proposal_id)
        self.json(self._proposal.to_json())

    @operation(
        "changeProposal",
        {200: Answer((ProposalJson,), headers=("ETag",), description="The proposal as it is now")},
        headers=PatchHeaders,
        body=(ProposalChangesBody,),
        problems=(403, 404, 409, 412),
    )
    async def patch(self, proposal: str) -> None:
        """Change a proposal.

        412 where `If-Match` names another version. 409 where its status does not lead to the one
        asked for, and where somebody else holds the project's lock.
        """
        proposal_id = ids.proposal_id(proposal)
        body = self.body(ProposalChangesBody)
        if body.id not in (None, proposal_id):
            raise InvalidError("A proposal keeps its id: it is the name of an OpenSpec change")
        changes = ProposalChanges(body.title, body.author, body.reviewers, body.status)
        if body.status is not None:
            self.will(Action.PROPOSAL_STATUS_CHANGED)
            self.audit_details["to"] = body.status.value
        self.audit_details["fields"] = [
            name for name, value in msgspec.structs.asdict(body).items() if value is not None
        ]
        async with self.about(proposal_id):
            changed = await self.context.archiving.change(
                self.identity,
                proposal_id,
                changes,
                fits_if_match(self.sent_headers(PatchHeaders).if_match),
            )
        self.acting.project_id = changed.project_id
        self.audit_details["version"] = changed.version
        self.set_header("ETag", changed.etag)
        self.json(changed.to_json())

    @operation(
        "removeProposal",
        {204: Answer(description="There is no such proposal any more")},
        headers=PatchHeaders,
        problems=(403, 404, 409, 412),
    )
    async def delete(self, proposal: str) -> None:
        """Remove a proposal, with its comments, runs and revisions. Its files stay.

        For its author, who made it known, and admins. Runs that are under way are cancelled. 409
        where somebody else holds the project's lock.
        """
        proposal_id = ids.proposal_id(proposal)
        fits = fits_if_match(self.sent_headers(PatchHeaders).if_match)
        async with self.about(proposal_id):
            removed = await self.context.editing.remove(self.identity, proposal_id, fits)
        self.acting.project_id = removed.project_id
        self.audit_details["version"] = removed.version
        await self.context.runs.cancel_all(removed, self.identity)
        self.set_status(204)
        self.finish()


class _Fits:
    """Whether a proposal's entity tag is among those of an `If-Match` (RFC 9110, 13.1.1)."""

    def __init__(self, etags: frozenset[str] | None) -> None:
        self._etags = etags

    def __call__(self, proposal: Proposal) -> bool:
        return self._etags is None or proposal.etag in self._etags


def fits_if_match(headers: list[str]) -> _Fits | None:
    """Read `If-Match`; None where there is none.

    Raises:
        Problem: 400 where it is no list of entity tags.
    """
    if not headers:
        return None
    text, at = ",".join(headers), 0
    if not text.strip():
        raise Problem(400, f"{IF_MATCH_TAKES}; it is empty", "invalid")
    etags = set()
    while at < len(text):
        match = _ETAG.match(text, at)
        if match is None:
            raise Problem(400, IF_MATCH_TAKES, "invalid")
        if match[2] is None:
            return _Fits(None)  # whatever there is
        # The comparison is the strong one: a weak tag never fits.
        if match[1] is None:
            etags.add(f'"{match[2]}"')
        at = match.end()
    if not etags:
        raise Problem(
            412,
            'A weak entity tag never fits If-Match: send "3" for W/"3", which a proxy that '
            "compresses may have made of it",
            "stale",
        )
    return _Fits(frozenset(etags))


def _slug(title: str) -> str:
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in title.lower())
    slug = "-".join(words.split())[:MAX_SLUG_CHARS].strip("-")
    if not title.strip():
        raise InvalidError("title is empty")
    if not slug:
        raise InvalidError("No id can be made from this title: give one")
    return slug
