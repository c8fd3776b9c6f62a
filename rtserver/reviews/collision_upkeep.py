"""Keeps the collisions of other proposals right when one has changed."""

from dataclasses import replace

from rtserver.model.errors import BusyError
from rtserver.reviews.editing import change_events
from rtserver.reviews.proposals import MAX_ATTEMPTS, ProposalStore, present_collisions


class CollisionsBusyError(BusyError):
    """Others keep changing a proposal whose collisions have to be written; somebody tries again."""


async def settle_collisions(store: ProposalStore, project_id: str, proposal_id: str) -> None:
    """See to it that each proposal says what it has in common with one that has changed.

    To be called after the change and before it is forgotten; twice is harmless. Two that change at
    the same moment do not miss each other: each is written first and looks at the other then.

    Args:
        store: where proposals are.
        project_id: of the one that has changed.
        proposal_id: the one that has changed: its text, its status, or that it is there.

    Raises:
        CollisionsBusyError: others keep changing one of them.
        StoreUnavailableError: MongoDB does not answer.
    """
    for other_id in await store.concerned(project_id, proposal_id):
        await _refresh(store, other_id)


async def _refresh(store: ProposalStore, proposal_id: str) -> None:
    for _ in range(MAX_ATTEMPTS):
        # The proposal before what it collides with: a change in between fails the version.
        present = await store.get(proposal_id)
        if present is None:
            return
        collisions = await present_collisions(store, present)
        if collisions == (present.collisions or ()):
            return
        # No `updated_at`: nobody has changed this one.
        changed = replace(present, collisions=collisions, version=present.version + 1)
        if await store.change(changed, change_events(present, changed, None)):
            return
    raise CollisionsBusyError(f"The proposal {proposal_id!r} is being changed all the time")
