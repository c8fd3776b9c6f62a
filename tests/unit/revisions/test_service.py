import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from rtserver.lib.threads import loop_does
from rtserver.reviews.proposals import ProposalChanges
from rtserver.reviews.rights import ArchivedError
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.service import FilesNotReachedError, FilesTooLargeError
from rtserver.runs.files.read import MAX_FILE_BYTES, MAX_FILES
from store.base.client import Database
from tests.support.waiting import WAIT_S
from tests.unit.revisions.parts import ADA, make_folders


@pytest.mark.gen_test
async def test_a_folder_that_went_is_put_back(db: Database, tmp_path: Path) -> None:
    async with make_folders(db, tmp_path) as folders:
        await folders.propose("a", "# 1\n")
        made, _ = await folders.service.write(ADA, "a", 1, {"proposal.md": "# 2\n"})
        for number, newest in ((made.number, made.number), (1, made.number + 1)):
            shutil.rmtree(folders.folder("a"))
            with pytest.raises(FilesNotReachedError):
                await folders.service.write(ADA, "a", made.number, {"proposal.md": "# 3\n"})
            revision, is_new = await folders.service.restore(ADA, "a", number)
            assert (revision.number, is_new) == (newest, newest > made.number)
            assert (folders.folder("a") / "proposal.md").read_text() == f"# {number}\n"


@pytest.mark.gen_test
async def test_what_nobody_could_read_is_not_written(db: Database, tmp_path: Path) -> None:
    async with make_folders(db, tmp_path) as folders:
        await folders.propose("a", "# 1\n")
        for files in (
            {"design.md": "a" * (MAX_FILE_BYTES + 1)},
            {f"specs/{number}/spec.md": "a" for number in range(MAX_FILES)},
        ):
            with pytest.raises(FilesTooLargeError):
                await folders.service.write(ADA, "a", 1, files)
        deep = "specs/" + "d/" * 14 + "spec.md"
        largest = {deep: "deep", "design.md": "a" * MAX_FILE_BYTES}
        made, _ = await folders.service.write(ADA, "a", 1, largest)
        assert {file.path for file in made.files} == {"proposal.md", *largest}
        # What is read again is what was said to be there.
        assert await folders.service.get(ADA, "a", "current") == made


@pytest.mark.gen_test
async def test_nobody_writes_to_what_was_archived_while_they_waited(
    db: Database, tmp_path: Path
) -> None:
    async with make_folders(db, tmp_path) as folders:
        await folders.propose("a", "# 1\n")
        await folders.service.get(ADA, "a", "current")
        loop, change = asyncio.get_running_loop(), folders.writer.change

        def archived_first(*parts: Any, **options: Any) -> None:
            archived = folders.editing.change(
                ADA, "a", ProposalChanges(status=ProposalStatus.ARCHIVED)
            )
            loop_does(loop, archived, WAIT_S)
            shutil.rmtree(folders.folder("a"))
            change(*parts, **options)

        folders.writer.change = archived_first  # type: ignore[method-assign]
        with pytest.raises(ArchivedError):
            await folders.service.restore(ADA, "a", 1)
        assert not folders.folder("a").exists()
