"""The demo project."""

import asyncio
import time

import structlog

from rtserver.app.documents import Documents
from rtserver.app.foundation import Foundation
from rtserver.app.reviews import Reviews
from rtserver.demo.project import DEMO_PROJECT_ID, install_demo
from rtserver.demo.review import REVIEWED_PROPOSAL_ID, STORY, Approved, Rewritten, Said
from rtserver.lib.data_folder import make_folder
from rtserver.model.errors import RefusedError
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.reviews.comments import Anchor
from rtserver.reviews.editing import creation_event
from rtserver.reviews.proposals import Proposal, ProposalExistsError
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import Verdict
from rtserver.revisions.model import CURRENT

STORY_TOKEN_S = 60.0

_log = structlog.get_logger()


async def build_demo(base: Foundation, documents: Documents) -> set[str]:
    """Install the demo's files, and make its proposals known, unless they are.

    Returns:
        The ids of those that were not known before.
    """
    made: set[str] = set()
    now, settings = present_moment(), base.settings
    await asyncio.to_thread(make_folder, settings.workspaces_dir, settings.folder_mode)
    for demo in await asyncio.to_thread(install_demo, settings.workspaces_dir):
        proposal = Proposal(
            proposal_id=demo.id,
            project_id=DEMO_PROJECT_ID,
            title=demo.title,
            author=demo.author,
            reviewers=list(demo.reviewers),
            status=ProposalStatus.IN_REVIEW,
            created_at=now,
            updated_at=now,
            created_by=demo.author,
        )
        try:
            await documents.proposals.create(proposal, creation_event(proposal, demo.author))
        except ProposalExistsError:
            continue
        made.add(demo.id)
    return made


async def tell_demo_story(reviews: Reviews, made: set[str]) -> None:
    """Let the demo's people review one of its proposals, where it was not known before.

    It is there to be looked at: where a step is refused the story ends, and the server starts.
    """
    if REVIEWED_PROPOSAL_ID not in made:
        return
    try:
        await _tell(reviews)
    except RefusedError as error:
        _log.warning("demo_story_ended", problem=str(error))


async def _tell(reviews: Reviews) -> None:
    comments: list[str] = []
    for step in STORY:
        who = _person(step.by)
        newest = await reviews.revisions.get(who, REVIEWED_PROPOSAL_ID, CURRENT)
        if isinstance(step, Said):
            anchor = None
            if step.quote:
                anchor = Anchor(newest.number, step.path, step.heading, step.quote)
            said, _ = await reviews.threads.add(
                who,
                REVIEWED_PROPOSAL_ID,
                step.text,
                anchor=anchor,
                reply_to=None if step.answers is None else comments[step.answers],
            )
            comments.append(said.comment_id)
        elif isinstance(step, Approved):
            await reviews.decisions.submit(
                who, REVIEWED_PROPOSAL_ID, Verdict.APPROVE, newest.number, step.text
            )
        elif isinstance(step, Rewritten):
            files: dict[str, str | None] = {}
            for path, (old, new) in step.words.items():
                _, content = await reviews.revisions.content(newest, path)
                files[path] = content.decode().replace(old, new)
            await reviews.revisions.write(
                who, REVIEWED_PROPOSAL_ID, newest.number, files, step.note
            )


def _person(user_id: str) -> Identity:
    return Identity(
        user_id,
        user_id.capitalize(),
        frozenset({DEMO_PROJECT_ID}),
        frozenset(),
        time.time() + STORY_TOKEN_S,
    )
