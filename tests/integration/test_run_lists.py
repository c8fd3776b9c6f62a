"""A proposal's runs, and how the last of them ended, without any history."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.integration.iteration_case import SETTINGS, case_on, reply_with
from tests.support.api import Api, api
from tests.support.llm_server import LlmThread, says
from tests.support.waiting import until
from tests.support.workers import Workers

SHORT = ("run_id", "kind", "state", "started_by")


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


def _short(runs: list[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(run.get(key) for key in keys or ("run_id", "state")) for run in runs]


async def _validate(who: Api, proposal_id: str) -> str:
    """Have it validated; the run's id once it is over."""
    run = await who.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
    return str((await who.run_ended(run["run_id"]))["run_id"])


@pytest.mark.gen_test
async def test_the_runs_of_a_proposal_newest_first(pair: Pair, project: str) -> None:
    pair.workspace(project)
    passes, never = f"passes.{project}", f"never-ends.{project}"
    async with (
        api(pair.one.address, "ada", ()) as ada,
        api(pair.other.address, "ben", ()) as ben,
        api(pair.other.address, "root", ("admin",)) as root,
    ):
        for name in (passes, never):
            await ada.propose(project, name)
        path = f"/api/v1/proposals/{passes}/runs"
        assert await ada.get(path) == {"runs": [], "next": None}
        made = [await _validate(who, passes) for who in (ada, ben, ada)]
        listed = await ben.get(path)
        assert _short(listed["runs"], *SHORT) == [
            (made[2], "validation", "passed", "ada"),
            (made[1], "validation", "passed", "ben"),
            (made[0], "validation", "passed", "ada"),
        ]
        assert listed["next"] is None
        newest = listed["runs"][0]
        whole = await ada.get(f"/api/v1/runs/{made[2]}")
        assert "result" not in newest
        assert {key: whole[key] for key in newest if key in whole} == {
            key: newest[key] for key in newest if key in whole
        }
        first = await ada.get(f"{path}?limit=2")
        rest = await ada.get(f"{path}?limit=2&after={first['next']}")
        assert _short(first["runs"] + rest["runs"]) == _short(listed["runs"])
        assert rest["next"] is None
        for query in ("limit=0", "limit=501", "after=x", "after="):
            await ada.get(f"{path}?{query}", 400)
        await ada.get("/api/v1/proposals/none/runs", 404)

        # One that is under way is there too, and one that was cancelled stays.
        run = await ada.post(f"/api/v1/proposals/{never}/validations", None, 202)
        under_way = (await ben.get(f"/api/v1/proposals/{never}/runs"))["runs"]
        assert _short(under_way) == [(run["run_id"], "running")]
        assert "ended_at" not in under_way[0]
        await root.delete(f"/api/v1/runs/{run['run_id']}")
        await ada.run_ended(run["run_id"])
        after = (await ben.get(f"/api/v1/proposals/{never}/runs"))["runs"]
        assert _short(after) == [(run["run_id"], "cancelled")]


@pytest.mark.gen_test
async def test_a_snapshot_knows_verdicts_and_of_which_text(pair: Pair, project: str) -> None:
    workspace = pair.workspace(project)
    names = [f"{behaviour}.{project}" for behaviour in ("passes", "fails", "never-ends")]
    passes, fails, never = names
    folders = [workspace / "openspec" / "changes" / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proposal.md").write_text("# One\n")
    async with api(pair.one.address, "ada", ()) as ada, api(pair.other.address, "ben", ()) as ben:
        for name in (*names, f"untried.{project}"):
            await ada.propose(project, name)
        # So many once made the others' verdicts forgotten.
        last = [await _validate(ada, passes) for _ in range(5)][-1]
        failed = await _validate(ben, fails)
        hung = await ada.post(f"/api/v1/proposals/{never}/validations", None, 202)
        await ada.delete(f"/api/v1/runs/{hung['run_id']}")
        await ada.run_ended(hung["run_id"])
        texts = {name: (await ben.get(f"/api/v1/proposals/{name}"))["revision"] for name in names}
        snapshot = await ben.get(f"/api/v1/projects/{project}")
        assert _short(snapshot["last_runs"], "proposal_id", "run_id", "state") == [
            (passes, last, "passed"),
            (fails, failed, "failed"),
            (never, hung["run_id"], "cancelled"),
        ]
        verdicts = _short(snapshot["last_verdicts"], "proposal_id", "run_id", "verdict", "revision")
        assert verdicts == [
            (passes, last, "passed", texts[passes]),
            (fails, failed, "failed", texts[fails]),
        ]
        page = await ben.get(f"/api/v1/projects/{project}/proposals?limit=1")
        assert _short(page["last_runs"]) == [(last, "passed")]
        # Another text: the verdict is of the one before, until it is judged as well.
        (folders[0] / "proposal.md").write_text("# Two\n")
        await ben.get(f"/api/v1/proposals/{passes}/revisions")  # somebody looks
        now = (await ben.get(f"/api/v1/proposals/{passes}"))["revision"]
        snapshot = await ben.get(f"/api/v1/projects/{project}")
        assert snapshot["last_verdicts"][0]["revision"]["digest"] != now["digest"]
        await _validate(ada, passes)
        snapshot = await ben.get(f"/api/v1/projects/{project}")
        assert snapshot["last_verdicts"][0]["revision"] == now
        # It goes with its proposal.
        await ada.delete(f"/api/v1/proposals/{passes}", 204)
        await ada.propose(project, passes)

        async def forgotten() -> bool:
            after = await ben.get(f"/api/v1/projects/{project}")
            return passes not in [run["proposal_id"] for run in after["last_runs"]]

        await until(forgotten, "its runs are gone")
        assert (await ben.get(f"/api/v1/proposals/{passes}/runs"))["runs"] == []


@pytest.mark.gen_test
async def test_an_iterations_verdict_is_on_what_it_wrote(
    workers: Workers, llm: LlmThread, project: str
) -> None:
    workers.start_many(2, llm_base_url=llm.base_url, **SETTINGS)
    async with case_on(workers, llm, project) as case:
        end = await case.run(says(reply_with({"proposal.md": "# New\n"})))
        text = (await case.ada.get(f"/api/v1/proposals/{case.proposal_id}"))["revision"]
        assert end["revision"] == text
        snapshot = await case.ada.get(f"/api/v1/projects/{project}")
        (run,), (verdict,) = snapshot["last_runs"], snapshot["last_verdicts"]
        assert run == verdict
        assert (run["kind"], run["state"], run["verdict"]) == ("iteration", "completed", "passed")
        assert run["revision"] == text
        (listed,) = (await case.ada.get(f"/api/v1/proposals/{case.proposal_id}/runs"))["runs"]
        assert listed == run
