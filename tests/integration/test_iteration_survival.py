"""Whatever dies, an iteration ends once and its files are whole."""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.iteration_case import (
    BEFORE,
    ENDS,
    SETTINGS,
    Case,
    case_on,
    reply_with,
    text_of,
)
from tests.support.api import api
from tests.support.llm_server import Gate, LlmThread, hangs, pieces_of, says, says_in_parts, until
from tests.support.mongo import MongodProcess
from tests.support.sockets import Frame, session
from tests.support.workers import Workers

MANY = {f"specs/s{n:03}/spec.md": f"spec {n}\n" for n in range(150)}
LEASE_S = 1.0


@pytest.fixture
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


def one_end(frames: list[Frame], run_id: str) -> Frame:
    (end,) = [f for f in frames if f["type"] in ENDS and f["run_id"] == run_id]
    return end


async def stop_when(pid: int, condition: Callable[[], bool]) -> None:
    """Freeze a process as soon as something is so; looks as often as it can."""
    await until(condition, 40, poll_s=0)
    os.kill(pid, signal.SIGSTOP)


@pytest.mark.gen_test(timeout=150)
async def test_owner_killed_in_each_phase(workers: Workers, llm: LlmThread, project: str) -> None:
    """Six workers: each of four loses one iteration in another phase, two see the leases lapse."""
    # Long enough that on a busy machine none but the killed ones are taken for lost.
    settings = {**SETTINGS, "llm_base_url": llm.base_url, "lease_s": 4}
    workers.start_many(6, **settings)
    phases = ("asking", "talking", "writing", "validating")
    async with AsyncExitStack() as stack:
        cases: dict[str, Case] = {}
        for number, phase in enumerate(phases):
            cases[phase] = await stack.enter_async_context(
                case_on(
                    workers,
                    llm,
                    f"{phase}-{project}"[:60],
                    behaviour="never-ends" if phase == "validating" else "passes",
                    here=number,
                    there=4 + number % 2,
                )
            )
        for path in MANY:
            where = cases["writing"].folder / path
            where.parent.mkdir(parents=True)
            where.write_text("old\n", encoding="utf-8")
        before = cases["writing"].files()
        cases["asking"].answer(hangs())
        cases["talking"].answer(hangs(["some ", "words"]))
        many = reply_with({**MANY, "specs/new/spec.md": "added\n", "proposal.md": "# New\n"})
        cases["writing"].answer(says(pieces_of(many, 500)))
        cases["validating"].answer(says(reply_with({"proposal.md": "# New\n"})))

        run_ids = {phase: await case.start() for phase, case in cases.items()}

        await llm.asked(cases["asking"].proposal_id)
        cases["asking"].here.kill()

        while text_of(cases["talking"].seen) != "some words":
            cases["talking"].seen.append(await cases["talking"].viewer.recv())
        cases["talking"].here.kill()

        writing = cases["writing"]
        journal = writing.folder.parents[2] / ".rtserver" / writing.proposal_id / "journal.json"
        await stop_when(writing.here.pid, journal.exists)
        amid = writing.files()
        was_amid = journal.exists()
        writing.here.kill()

        validating = cases["validating"]
        await until(lambda: validating.files()["proposal.md"] == "# New\n")
        run = await validating.ada.get(f"/api/v1/runs/{run_ids['validating']}")
        assert run["state"] == "running"
        await until(lambda: children_of(validating.here.pid) > 0)
        validating.here.kill()

        ends = {phase: await case.end() for phase, case in cases.items()}
        for phase, end in ends.items():
            assert (end["type"], end["reason"]) == ("iteration_error", "worker_lost")
            assert end["run_id"] == run_ids[phase]
        assert "files_modified" not in ends["asking"]
        assert "nothing was written" in ends["talking"]["error"]
        assert ends["validating"]["files_modified"] == ["proposal.md"]

        assert cases["asking"].files() == cases["talking"].files() == BEFORE
        assert validating.files() == {**BEFORE, "proposal.md": "# New\n"}
        if was_amid:
            assert writing.files() == before
            assert "nothing was written" in ends["writing"]["error"]
        else:  # it was quicker than we could look
            assert len(ends["writing"]["files_modified"]) == len(MANY) + 2
        assert set(writing.files().values()) <= set(before.values()) | set(MANY.values()) | {
            "added\n",
            "# New\n",
        }
        assert was_amid, f"{len(amid)} files; the write was over before it could be stopped"

        # Once, although two workers saw it; and the proposal can be worked on again.
        await asyncio.gather(*(case.viewer.quiet(1.0) for case in cases.values()))
        async with api(workers.all[4].address, "ada", roles=()) as ada:
            writing.answer(says(reply_with({"proposal.md": "# New\n"})))
            await ada.post(writing.path, {"instruction": "again"}, 202)
            writing.seen.clear()
            assert (await writing.end())["files_modified"] == ["proposal.md"]
        for phase, run_id in run_ids.items():
            one_end(cases[phase].viewer.frames, run_id)


def children_of(pid: int) -> int:
    """How many processes a worker has started that still live."""
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.mark.gen_test(timeout=120)
async def test_owner_that_was_only_asleep(workers: Workers, llm: LlmThread, project: str) -> None:
    """A worker that stands still for longer than its lease finds its run ended, and stops it."""
    settings = {**SETTINGS, "llm_base_url": llm.base_url, "lease_s": LEASE_S}
    workers.start_many(2, **settings)
    gate = Gate()
    async with case_on(workers, llm, project) as case:
        case.answer(says_in_parts(gate, ["Well. "], [reply_with({"proposal.md": "# New\n"})]))
        run_id = await case.start()
        await case.viewer.recv_type("token")
        os.kill(case.here.pid, signal.SIGSTOP)
        try:
            end = await case.end()
            assert (end["type"], end["reason"]) == ("iteration_error", "worker_lost")
            gate.open()
        finally:
            os.kill(case.here.pid, signal.SIGCONT)
        await until(lambda: bool(case.here.logged("run_lost")))
        await case.viewer.quiet(1.0)
        assert case.files() == BEFORE
        assert (await case.ada.run_ended(run_id))["state"] == "error"
        assert (await case.run(says("Fine.")))["type"] == "iteration_complete"


@pytest.mark.gen_test(timeout=60)
async def test_a_worker_ends_though_a_thread_does_not(
    workers: Workers, llm: LlmThread, project: str
) -> None:
    """It waits for ten seconds for somebody else's lock on the files, and can't be told to stop."""
    workers.start_many(2, **SETTINGS, llm_base_url=llm.base_url, shutdown_grace_s=1)
    async with case_on(workers, llm, project) as case:
        area = case.folder.parents[2] / ".rtserver" / case.proposal_id
        area.parent.mkdir(mode=0o700)
        area.mkdir(mode=0o700)
        holder = os.open(area, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(holder, fcntl.LOCK_EX)
            case.answer(says(reply_with({"proposal.md": "# New\n"})))
            run_id = await case.start()
            await until(lambda: _writes(case.here.pid, area))
            case.here.expect("process_did_not_end", "tasks_did_not_end")
            begun_s = time.monotonic()
            os.kill(case.here.pid, signal.SIGTERM)
            await asyncio.to_thread(case.here.process.wait, 30)
            assert time.monotonic() - begun_s < 8
            assert case.here.logged("process_did_not_end")
            assert (await case.end())["reason"] in ("server_stopping", "worker_lost")
            assert case.files() == BEFORE
        finally:
            os.close(holder)
        assert one_end(case.seen, run_id)


def _writes(pid: int, area: Path) -> bool:
    """Whether a process has a write's folder open: it waits for the lock then."""
    with contextlib.suppress(FileNotFoundError):
        return any(fd.readlink() == area for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


@pytest.mark.gen_test(timeout=300)
@pytest.mark.parametrize(
    ("how", "away_s"),
    [("frozen", 5), pytest.param("killed", 60, marks=pytest.mark.soak)],
)
async def test_mongodb_away_for_longer_than_a_lease(
    tmp_path: Path, llm: LlmThread, project: str, how: str, away_s: float
) -> None:
    """Nobody's run is lost: the reply is written on, and told when MongoDB is back."""
    mongod = MongodProcess(tmp_path / "mongo")
    workers = Workers(
        tmp_path, {**SETTINGS, "mongodb_uri": mongod.uri, "llm_base_url": llm.base_url}
    )
    reply = reply_with({"proposal.md": "word " * 500})
    pieces = pieces_of(reply)
    gates = Gate(), Gate()
    try:
        # The model waits for as long as MongoDB is away, and is not what is tested.
        workers.start_many(2, lease_s=2, llm_token_timeout_s=100, llm_timeout_s=150)
        async with (
            case_on(workers, llm, project) as case,
            case_on(workers, llm, f"{project}-2") as quiet,
        ):
            case.answer(says_in_parts(gates[0], pieces[:100], pieces[100:], pause_s=0.002))
            quiet.answer(says_in_parts(gates[1], ["Well. "], [reply]))
            run_id = await case.start()
            await quiet.start()
            await case.viewer.recv_type("token")
            await quiet.viewer.recv_type("token")
            if how == "frozen":
                os.kill(mongod.mongod_pid, signal.SIGSTOP)
            else:
                mongod.kill()
            gates[0].open()
            await asyncio.sleep(away_s)  # what is tested is that nothing happens
            if how == "frozen":
                os.kill(mongod.mongod_pid, signal.SIGCONT)
            else:
                await asyncio.to_thread(mongod.start)
            gates[1].open()
            for each in (case, quiet):
                end = await each.end(timeout_s=60)
                assert end["type"] == "iteration_complete", str(end)
                assert each.files()["proposal.md"] == "word " * 500
            stored = await case.ada.run_ended(run_id)
            assert stored["state"] == "completed"
            await case.viewer.quiet(1.0)
            tokens = [f for f in case.viewer.frames if f["type"] == "token"]
            assert text_of(tokens) == reply
            async with session(case.there.address, case.project, user="late") as late:
                await late.ask("replay", **{"from": stored["replay_from"]})
                frames = await late.recv_until(lambda frame: frame["type"] in ENDS)
                assert text_of(frames) == reply
        problems = [text for text in workers.unexpected() if "mongodb_lost" not in text]
        assert not problems
    finally:
        workers.stop()
        mongod.stop()
