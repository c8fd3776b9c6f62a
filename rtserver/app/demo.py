"""The demo project."""

import asyncio
import contextlib

from rtserver.app.documents import Documents
from rtserver.app.foundation import Foundation
from rtserver.demo.project import DEMO_PROJECT_ID, install_demo
from rtserver.lib.data_folder import make_folder
from rtserver.model.moments import present_moment
from rtserver.reviews.editing import creation_event
from rtserver.reviews.proposals import Proposal, ProposalExistsError
from rtserver.reviews.statuses import ProposalStatus


async def build_demo(base: Foundation, documents: Documents) -> None:
    """Install the demo's files, and make its proposals known, unless they are."""
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
        with contextlib.suppress(ProposalExistsError):
            await documents.proposals.create(proposal, creation_event(proposal, demo.author))
