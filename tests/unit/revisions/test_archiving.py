import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtserver.lib.threads import loop_does
from rtserver.model.errors import ConflictError
from rtserver.reviews.proposals import ProposalChanges
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.archiving import ArchivingService
from rtserver.revisions.openspec import Archived, OpenSpec
from store.base.client import Database
from tests.support.waiting import WAIT_S
from tests.unit.revisions.parts import ADA, Folders, make_folders

ARCHIVED = ProposalChanges(status=ProposalStatus.ARCHIVED)


class Mover(OpenSpec):
    """Archives as OpenSpec does, without a look at the specs.

    Attributes:
        texts: what was archived.
    """

    def __init__(self) -> None:
        super().__init__({}, None)  # type: ignore[arg-type]
        self.texts: list[str] = []

    async def archive(self, root: Path, change: str) -> Archived:
        folder = root / "openspec" / "changes" / change
        self.texts.append((folder / "proposal.md").read_text())
        archive = folder.parent / "archive"
        archive.mkdir()
        folder.rename(archive / f"2026-01-01-{change}")
        return Archived(f"2026-01-01-{change}", {})


def _before_it_is_locked(folders: Folders, act: Callable[[], None]) -> None:
    locked = folders.writer.locked

    def later(*parts: Any) -> None:
        act()
        locked(*parts)

    folders.writer.locked = later  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize("how", ["edited", "reopened", ""])
@pytest.mark.gen_test
async def test_only_the_text_that_was_approved_is_archived(
    db: Database, tmp_path: Path, how: str
) -> None:
    async with make_folders(db, tmp_path) as folders:
        await folders.propose("a", "# 1\n")
        await folders.service.get(ADA, "a", "current")
        await folders.editing.change(ADA, "a", ProposalChanges(status=ProposalStatus.APPROVED))
        loop, openspec = asyncio.get_running_loop(), Mover()
        parts = (folders.proposals, folders.editing, folders.recorder, folders.writer)
        archiving = ArchivingService(*parts, openspec, tmp_path)

        def meanwhile() -> None:
            if how == "edited":
                (folders.folder("a") / "proposal.md").write_text("# 2\n")
            if how == "reopened":
                loop_does(loop, folders.editing.reopen("a", "ben"), WAIT_S)

        _before_it_is_locked(folders, meanwhile)
        if how:
            with pytest.raises(ConflictError):
                await archiving.change(ADA, "a", ARCHIVED)
            assert folders.folder("a").is_dir()
        else:
            changed = await archiving.change(ADA, "a", ARCHIVED)
            assert changed.status is ProposalStatus.ARCHIVED
        assert openspec.texts == ([] if how else ["# 1\n"])
