"""Validation runs end to end, with a validator that does what its proposal's id says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.processes import is_alive, resident_bytes, wait_until
from tests.support.sockets import Frame, SocketClient, session
from tests.support.tokens import SECRET, token
from tests.support.workers import Workers

ENDS = ("validation_complete", "validation_error", "validation_cancelled")
MIB = 1024 * 1024
LEASE_S = 1.0


@asynccontextmanager
async def watched(
    pair: Pair, project: str, behaviour: str
) -> AsyncIterator[tuple[SocketClient, Api, str]]:
    """A proposal, somebody who views it on the other worker, and a person who may start it."""
    workspace = pair.workspace(project)
    proposal_id = f"{behaviour}.{project}"
    async with (
        api(pair.one.address, "ada", roles=()) as ada,
        session(pair.other.address, project, proposal_ids=[proposal_id]) as viewer,
    ):
        await ada.propose(project, proposal_id)
        await viewer.recv_type("proposal_created")
        yield viewer, ada, proposal_id
    assert workspace.is_dir()


async def to_the_end(viewer: SocketClient, run_id: str) -> tuple[list[Frame], Frame]:
    """The lines of a run, and its terminal event."""
    frames = await viewer.recv_until(lambda frame: frame["type"] in ENDS, timeout_s=50)
    for frame in frames:
        if frame["type"] != "position":
            assert frame["run_id"] == run_id
    # What took more than half a second comes more than once: the newest of each number counts.
    lines: dict[int, Frame] = {}
    for frame in frames:
        if frame["type"] == "output":
            assert frame.get("replaces", False) is (frame["n"] in lines)
            lines[frame["n"]] = frame
    assert not any(line.get("partial") for line in lines.values())
    return list(lines.values()), frames[-1]


async def run_once(pair: Pair, project: str, behaviour: str) -> tuple[list[Frame], Frame]:
    """Start it, see it to its end, and check what holds for every run."""
    async with watched(pair, project, behaviour) as (viewer, ada, proposal_id):
        run = await ada.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
        lines, end = await to_the_end(viewer, run["run_id"])
        stored = await ada.get(f"/api/v1/runs/{run['run_id']}")
        assert stored["state"] not in ("queued", "running")
        start = next(frame for frame in viewer.frames if frame["type"] == "validation_start")
        assert start["proposal_id"] == end["proposal_id"] == proposal_id
        assert proposal_id in start["command"]
        for number, line in enumerate(lines, 1):
            assert line["n"] == number
            assert line["stream"] in ("stdout", "stderr")
        await viewer.quiet(0.2)  # exactly one terminal event
        return lines, end


async def gone(pid: int) -> None:
    await asyncio.to_thread(wait_until, lambda: not is_alive(pid), f"process {pid} has ended")


@pytest.mark.gen_test
async def test_lines_arrive_as_they_are_printed(pair: Pair, project: str) -> None:
    async with watched(pair, project, "streams") as (viewer, ada, proposal_id):
        run = await ada.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
        run_id = run["run_id"]
        assert (run["state"], run["proposal_id"]) == ("running", proposal_id)
        first = await viewer.recv_type("output")
        assert (first["line"], first["stream"], first["n"]) == ("first", "stdout", 1)
        # The validator waits for us, so this line was not kept back until more had come.
        assert (await ada.get(f"/api/v1/runs/{run_id}"))["state"] == "running"
        snapshot = await ada.get(f"/api/v1/projects/{project}")
        assert [active["run_id"] for active in snapshot["active_runs"]] == [run_id]
        async with session(pair.one.address, project, user="late") as late:
            (active,) = late.frames[0]["active_runs"]
            assert active["run_id"] == run_id
            # Who comes late asks for what has been printed so far.
            await late.ask("replay", **{"from": active["replay_from"]})
            assert (await late.recv_type("output"))["line"] == "first"
            (pair.workspace(project) / "go-on").touch()
            for client in (viewer, late):
                lines, end = await to_the_end(client, run_id)
                assert {(line["line"], line["stream"]) for line in lines} == {
                    ("second", "stderr"),
                    ("\x1b[32mthird\x1b[0m \ufffd without an end", "stdout"),
                }
                assert (end["type"], end["status"]) == ("validation_complete", "passed")
                assert end["summary"]["exit_code"] == 0
                assert end["summary"]["lines"] == 3
                assert end["summary"]["duration_ms"] > 0
        assert (await ada.get(f"/api/v1/runs/{run_id}"))["state"] == "passed"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("behaviour", "type_", "said"),
    [
        ("fails", "validation_complete", {"status": "failed"}),
        ("other-status", "validation_error", {"reason": "exit_status"}),
        ("dies", "validation_error", {"reason": "signal"}),
    ],
)
async def test_what_the_end_means(
    pair: Pair, project: str, behaviour: str, type_: str, said: dict[str, Any]
) -> None:
    _, end = await run_once(pair, project, behaviour)
    assert end["type"] == type_
    assert {key: end[key] for key in said} == said
    if type_ == "validation_error":
        assert end["error"]
    else:
        assert end["summary"]["exit_code"] == 1


@pytest.mark.gen_test
async def test_one_validation_of_a_proposal_at_a_time(pair: Pair, project: str) -> None:
    async with (
        watched(pair, project, "never-ends") as (viewer, ada, proposal_id),
        api(pair.other.address, "ben", roles=()) as ben,
        session(pair.other.address, project, user="ben") as socket,
    ):
        path = f"/api/v1/proposals/{proposal_id}/validations"
        answers = await asyncio.gather(
            *((ada, ben)[n % 2].http.post(path) for n in range(6)),
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409, 409]
        (run_id,) = {
            (answer.json() if answer.status_code == 202 else answer.json()["run"])["run_id"]
            for answer in answers
        }
        answer = await socket.ask("start_validation", proposal_id=proposal_id)
        assert (answer["type"], answer["reason"]) == ("error", "already_running")
        assert answer["details"]["run"]["run_id"] == run_id
        pid = int((await viewer.recv_type("output"))["line"])

        async with api(pair.other.address, "eve", roles=()) as eve:
            await eve.delete(f"/api/v1/runs/{run_id}", 403)
        answer = await viewer.ask("cancel_validation", run_id=run_id)  # on the other worker
        assert answer["type"] == "ack"
        _, end = await to_the_end(viewer, run_id)
        assert (end["type"], end["actor"]) == ("validation_cancelled", "ada")
        await gone(pid)
        assert (await ada.run_ended(run_id))["state"] == "cancelled"
        again = await ada.post(path, None, 202)
        await ada.delete(f"/api/v1/runs/{again['run_id']}")
        assert (await ada.run_ended(again["run_id"]))["state"] == "cancelled"


@pytest.mark.gen_test
async def test_cancel_ends_one_that_ignores_it(pair: Pair, project: str) -> None:
    async with watched(pair, project, "ignores-the-end") as (viewer, ada, proposal_id):
        answer = await viewer.ask("start_validation", proposal_id=proposal_id)
        assert answer["type"] == "ack"
        pid = int((await viewer.recv_type("output"))["line"])
        await ada.delete(f"/api/v1/runs/{answer['run_id']}")
        _, end = await to_the_end(viewer, answer["run_id"])
        assert end["type"] == "validation_cancelled"
        await gone(pid)


@pytest.mark.gen_test
async def test_100_mb_of_output_in_bounded_memory(pair: Pair, project: str) -> None:
    async with session(pair.one.address, f"{project}.2", user="neighbour") as neighbour:
        before = resident_bytes(pair.one.pid)
        lines, end = await run_once(pair, project, "floods")
        assert end["type"] == "validation_complete"
        assert end["summary"]["lines"] == 10_000
        assert end["summary"]["lines_dropped"] == 100 * 1024 - 10_000
        assert len(lines) == 10_001
        assert lines[-1]["notice"] == "output_cut"
        assert resident_bytes(pair.one.pid) - before < 32 * MIB
        assert (await neighbour.ask("view", proposal_ids=[]))["type"] == "ack"


@pytest.mark.gen_test
async def test_line_of_a_megabyte_is_cut_and_says_so(pair: Pair, project: str) -> None:
    (line,), end = await run_once(pair, project, "one-long-line")
    assert len(line["line"]) == 16 * 1024
    assert line["truncated"] is True
    assert line["omitted_bytes"] == MIB - 16 * 1024
    assert end["status"] == "passed"


@pytest.mark.gen_test
async def test_children_that_hold_the_pipes_are_ended(pair: Pair, project: str) -> None:
    lines, end = await run_once(pair, project, "forks")
    assert end["type"] == "validation_complete"
    assert len(lines) == 5
    for line in lines:
        await gone(int(line["line"]))


@pytest.mark.gen_test
async def test_validator_sees_nothing_of_the_server_s_environment(pair: Pair, project: str) -> None:
    (line,), _ = await run_once(pair, project, "environment")
    environ = json.loads(line["line"])
    assert not [name for name in environ if name.startswith(("RT_", "PYTHON"))]
    assert SECRET not in line["line"]
    assert environ["PATH"]


@pytest.mark.gen_test
async def test_project_without_a_workspace(pair: Pair, project: str) -> None:
    async with watched(pair, project, "fails") as (viewer, ada, proposal_id):
        pair.workspace(project).rmdir()
        run = await ada.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
        _, end = await to_the_end(viewer, run["run_id"])
        assert (end["type"], end["reason"]) == ("validation_error", "no_workspace")
        pair.workspace(project)


@pytest.mark.gen_test
async def test_runs_of_others_are_not_there(pair: Pair, project: str) -> None:
    async with watched(pair, project, "fails") as (viewer, ada, proposal_id):
        run = await ada.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
        await to_the_end(viewer, run["run_id"])
        run_id = run["run_id"]
    async with api(pair.one.address, token=token("eve", "another")) as eve:
        await eve.get(f"/api/v1/runs/{run_id}", 404)
        await eve.delete(f"/api/v1/runs/{run_id}", 404)
        await eve.post(f"/api/v1/proposals/{proposal_id}/validations", None, 404)
        taken = {"id": proposal_id, "title": "ids are unique on the server"}
        await eve.post("/api/v1/projects/another/proposals", taken, 409)


@pytest.mark.gen_test
async def test_time_out_missing_command_and_stop_of_the_worker(workers: Workers) -> None:
    """On workers of their own, since each is a matter of settings or ends the worker."""
    here, gone_soon = (
        workers.launch(
            validation_command="sh -c 'echo $$; sleep 60'",
            validation_report_command="",
            validation_timeout_s=1,
        ),
        workers.launch(
            validation_command="sh -c 'echo $$; sleep 60'", validation_report_command=""
        ),
    )
    nowhere = workers.launch(validation_command="no-such-validator {proposal_id}")
    for worker in workers.all:
        worker.wait_ready()
    (workers.directory / "workspaces" / "p1").mkdir(parents=True)
    async with session(here.address, "p1") as viewer, api(here.address, "ada") as ada:
        await ada.propose("p1", "a")
        run = await ada.post("/api/v1/proposals/a/validations", None, 202)
        lines, end = await to_the_end(await after_creation(viewer), run["run_id"])
        assert (end["type"], end["reason"]) == ("validation_error", "timeout")
        await gone(int(lines[0]["line"]))

        async with api(nowhere.address, "ada") as there:
            run = await there.post("/api/v1/proposals/a/validations", None, 202)
        _, end = await to_the_end(viewer, run["run_id"])
        assert (end["type"], end["reason"]) == ("validation_error", "command_not_found")

        async with api(gone_soon.address, "ada") as there:
            run = await there.post("/api/v1/proposals/a/validations", None, 202)
        pid = int((await viewer.recv_type("output"))["line"])
        gone_soon.terminate()
        _, end = await to_the_end(viewer, run["run_id"])
        assert (end["type"], end["reason"]) == ("validation_error", "server_stopping")
        await gone(pid)


async def after_creation(viewer: SocketClient) -> SocketClient:
    await viewer.recv_type("proposal_created")
    return viewer


@pytest.mark.gen_test
async def test_run_of_a_killed_worker_ends_as_lost(workers: Workers) -> None:
    doomed, other = workers.start_many(
        2,
        validation_command="sh -c 'echo $$; sleep 60'",
        validation_report_command="",
        lease_s=LEASE_S,
    )
    (workers.directory / "workspaces" / "p1").mkdir(parents=True)
    async with session(other.address, "p1") as viewer, api(doomed.address, "ada") as ada:
        await ada.propose("p1", "a")
        await after_creation(viewer)
        run = await ada.post("/api/v1/proposals/a/validations", None, 202)
        pid = int((await viewer.recv_type("output"))["line"])
        killed_at = datetime.now(UTC)
        doomed.kill()
        await gone(pid)
        _, end = await to_the_end(viewer, run["run_id"])
        assert (end["type"], end["reason"]) == ("validation_error", "worker_lost")
        await viewer.quiet(0.5)
    async with api(other.address, "ada") as ada:
        ended = await ada.run_ended(run["run_id"])
        took = datetime.fromisoformat(ended["ended_at"]) - killed_at
        assert took.total_seconds() <= LEASE_S + 5
        run = await ada.post("/api/v1/proposals/a/validations", None, 202)
        await ada.delete(f"/api/v1/runs/{run['run_id']}")
        assert (await ada.run_ended(run["run_id"]))["state"] == "cancelled"
