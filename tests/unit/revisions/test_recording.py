import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rtserver.revisions.recording import RECORD_TIMEOUT_S
from store.base.client import Database
from tests.unit.revisions.parts import ADA, make_folders

LOOKS = 20


@pytest.mark.gen_test
async def test_many_look_at_once_with_one_thread_for_all(db: Database, tmp_path: Path) -> None:
    # A thread that waits for the loop while the loop waits for another thread waits for ever.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with make_folders(db, tmp_path) as folders:
        proposals = [await folders.propose(name, "# 1\n") for name in ("a", "b", "c")]
        for text in ("# 1\n", "# 2\n"):
            for proposal in proposals:
                (folders.folder(proposal.proposal_id) / "proposal.md").write_text(text)
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await asyncio.gather(
                    *(folders.recorder.look(proposal) for proposal in proposals * LOOKS)
                )
        for proposal in proposals:
            made, _ = await folders.service.of_proposal(
                ADA, proposal.proposal_id, before=None, limit=10
            )
            assert [(each.number, each.cause) for each in made] == [(2, "disk"), (1, "first")]


@pytest.mark.gen_test
async def test_a_look_sees_what_was_written_before_it_was_asked_for(
    db: Database, tmp_path: Path
) -> None:
    async with make_folders(db, tmp_path) as folders:
        proposal = await folders.propose("a", "# 1\n")
        looks: list[asyncio.Task[None]] = []
        for number in range(2, 6):
            looks.append(asyncio.create_task(folders.recorder.look(proposal)))
            await asyncio.sleep(0)
            (folders.folder("a") / "proposal.md").write_text(f"# {number}\n")
        await folders.recorder.look(proposal)
        newest = await folders.service.get(ADA, "a", "current")
        assert await folders.service.contents(newest) == {"proposal.md": b"# 5\n"}
        await asyncio.gather(*looks)
