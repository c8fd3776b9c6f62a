"""Iterations end to end: a model that does what a test says, real workers, sockets and files."""

import resource
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtserver.demo.completions_server import Answer, CompletionRequest, Respond
from tests.integration.conftest import Pair
from tests.integration.iteration_case import (
    BEFORE,
    ENDS,
    SETTINGS,
    case_on,
    make_files,
    reply_with,
    text_of,
)
from tests.support.api import Api, api
from tests.support.cli import rtserver_many
from tests.support.lateness import lateness
from tests.support.llm_server import (
    KEY,
    Gate,
    LlmThread,
    endless,
    fails,
    hangs,
    left,
    one_by_one,
    pieces_of,
    resets,
    says,
    says_in_parts,
    sends,
    until,
)
from tests.support.mongo import MongodProcess
from tests.support.sockets import Frame, seq_of, session
from tests.support.workers import Workers
from tests.unit.runs.llm.bad_dialects import BAD
from tests.unit.runs.llm.dialects import DONE, GOOD, sse
from tests.unit.runs.llm.dialects import says as chunk


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="module")
def _iterating(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory, llm: LlmThread
) -> Iterator[Workers]:
    with mongod.fresh_database() as name:
        workers = Workers(
            tmp_path_factory.mktemp("iterations"),
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "llm_base_url": llm.base_url,
                **SETTINGS,
            },
        )
        workers.start_many(2)
        yield workers
        problems = workers.stop() + workers.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.fixture
def iterating(_iterating: Workers) -> Iterator[Workers]:
    yield _iterating
    alarms = _iterating.unexpected()
    if alarms:
        pytest.fail("workers logged errors:\n" + "\n".join(alarms))


@pytest.fixture
def new_case(iterating: Workers, llm: LlmThread, project: str) -> Any:
    def make(**options: Any) -> Any:
        return case_on(iterating, llm, project, **options)

    return make


@pytest.mark.gen_test
async def test_a_revision_from_the_first_word_to_the_last(new_case: Any) -> None:
    reply = reply_with(
        {"proposal.md": "# New\n", "specs/b/spec.md": "added\n", "tasks.md": BEFORE["tasks.md"]}
    )
    async with new_case() as case:
        case.answer(says(reply, pause_s=0.001))
        async with session(case.there.address, case.project, user="ben") as ben:
            ack = await ben.ask(
                "start_iteration", proposal_id=case.proposal_id, instruction="  Make it new\n"
            )
            assert (ack["type"], ack["state"]) == ("ack", "running")
            end = await case.end()
            start = next(frame for frame in case.seen if frame["type"] == "iteration_start")
            assert start["model"] == "model-1"
            assert start["instruction"] == "Make it new"
            assert (start["actor"], start["run_id"]) == ("ben", ack["run_id"])
            assert "demo" not in start
            assert case.text() == reply
            assert end["type"] == "iteration_complete"
            assert end["files_modified"] == ["proposal.md", "specs/b/spec.md"]
            assert end["validation"]["status"] == "passed"
            assert end["validation"]["exit_code"] == 0
            assert end["usage"]["completion_tokens"] == len(pieces_of(reply))
            assert [diff["path"] for diff in end["diffs"]] == end["files_modified"]
            assert "+# New" in end["diffs"][0]["diff"]
            mine = await ben.recv_until(lambda frame: frame["type"] in ENDS)
            everything = [f for f in ben.frames if f.get("run_id") == ack["run_id"] and "id" in f]
            assert text_of(everything) == reply
            assert mine[-1]["id"] == end["id"]
        assert case.files() == {**BEFORE, "proposal.md": "# New\n", "specs/b/spec.md": "added\n"}
        stored = await case.ada.get(f"/api/v1/runs/{ack['run_id']}")
        assert stored["state"] == "completed"
        assert stored["result"]["files_modified"] == end["files_modified"]
        await case.viewer.quiet(0.2)

        prompt = (await case.llm.asked(case.proposal_id)).request.prompt
        assert "# Old" in prompt
        assert "Make it new" in prompt
        assert not list((case.folder.parents[2] / ".rtserver" / case.proposal_id).iterdir())


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["think tags", "reasoning_details", "stop in every piece"])
async def test_thoughts_are_shown_and_never_written(new_case: Any, name: str) -> None:
    async with new_case() as case:
        end = await case.run(sends(GOOD[name].body))
        assert end["type"] == "iteration_complete"
        tokens = [frame for frame in case.seen if frame["type"] == "token"]
        assert case.text() == GOOD[name].text
        assert "".join(frame.get("reasoning", "") for frame in tokens) == GOOD[name].reasoning
        assert all(not (frame.get("reasoning") and frame["content"]) for frame in tokens)
        expected = {"tasks.md"} if name == "think tags" else {"design.md", "tasks.md"}
        assert set(end["files_modified"]) == (set() if name == "reasoning_details" else expected)


@pytest.mark.gen_test
async def test_done_without_a_finish_counts_where_the_files_are_closed(new_case: Any) -> None:
    async with new_case() as case:
        end = await case.run(sends(GOOD["[DONE] without a finish"].body))
        assert end["files_modified"] == ["design.md"]


@pytest.mark.gen_test
async def test_what_the_validator_found_is_told_to_the_model(new_case: Any) -> None:
    async with new_case(behaviour="fails") as case:
        end = await case.run(says("Nothing to change."))
        assert (end["type"], end["files_modified"]) == ("iteration_complete", [])
        assert end["validation"]["status"] == "failed"
        assert end["diffs"] == []


@pytest.mark.gen_test
async def test_who_comes_in_the_middle_misses_nothing(new_case: Any) -> None:
    reply = reply_with({"proposal.md": "word " * 400})
    pieces = pieces_of(reply, 3)
    gate = Gate()
    async with new_case() as case:
        case.answer(says_in_parts(gate, pieces[:300], pieces[300:], pause_s=0.003))
        await case.start()
        said = "".join(pieces[:300])
        while case.text() != said:
            case.seen.append(await case.viewer.recv())
        assert len(case.seen) > 20
        middle = case.seen[len(case.seen) // 2]["id"]
        snapshot = await case.ada.get(f"/api/v1/projects/{case.project}")
        (active,) = snapshot["active_runs"]
        assert active["kind"] == "iteration"
        for worker in (case.here, case.there):
            async with (
                session(worker.address, case.project, user="late") as late,
                session(worker.address, case.project, user="back", last_event_id=middle) as back,
                session(
                    worker.address,
                    case.project,
                    user="later",
                    last_event_id=active["replay_from"],
                ) as later,
            ):
                assert late.frames[0]["active_runs"] == snapshot["active_runs"]
                await late.ask("replay", **{"from": active["replay_from"]})
                start = await late.recv_type("iteration_start")
                (joined,) = [await late.recv_type("token")]
                # One frame with the text so far, and the id of the last piece.
                assert (joined["content"], joined["first_n"]) == (said, 1)
                assert joined["id"] == case.seen[-1]["id"]
                assert start["run_id"] == joined["run_id"]
                await later.recv_type("iteration_start")
                assert (await later.recv_type("token"))["content"] == said

                at = next(i for i, frame in enumerate(case.seen) if frame["id"] == middle)
                rest = await back.recv_type("token")
                assert rest["content"] == text_of_rest(case.seen[at + 1 :])
                assert rest["id"] == case.seen[-1]["id"]
                assert rest["first_n"] == case.seen[at]["n"] + 1
                if worker is case.there:
                    gate.open()
                    for client in (late, back, later):
                        await client.recv_until(lambda frame: frame["type"] in ENDS)
                    for client in (late, later):
                        assert text_of(client.frames) == reply
                    mine = "".join(f["content"] for f in back.frames if f["type"] == "token")
                    assert reply.endswith(mine)
                    before = "".join(f["content"] for f in case.seen[: at + 1] if "content" in f)
                    assert before + mine == reply
        assert (await case.end())["type"] == "iteration_complete"
        assert case.text() == reply


def text_of_rest(frames: list[Frame]) -> str:
    return "".join(frame["content"] for frame in frames if frame["type"] == "token")


@pytest.mark.gen_test
@pytest.mark.parametrize("said", [[], ["some ", "words "]], ids=["before", "amid"])
async def test_cancel_works_everywhere_within_a_second(new_case: Any, said: list[str]) -> None:
    async with new_case() as case:
        case.answer(hangs(said))
        run_id = await case.start()
        served = await case.llm.asked(case.proposal_id)
        while case.text() != "".join(said):
            case.seen.append(await case.viewer.recv())
        begun_s = time.monotonic()
        ack = await case.viewer.ask("cancel_iteration", run_id=run_id)
        assert (ack["type"], ack["reason"]) == ("error", "forbidden")
        async with api(case.there.address, "eve", roles=()) as eve:
            await eve.delete(f"/api/v1/runs/{run_id}", 403)
        assert (await case.ada.get(f"/api/v1/runs/{run_id}"))["state"] == "running"

        with lateness() as late_s:
            begun_s = time.monotonic()
            async with api(case.there.address, "root", roles=("admin",)) as admin:
                await admin.delete(f"/api/v1/runs/{run_id}")
            end = await case.end()
            await left(served, 10)
            took_s = time.monotonic() - begun_s
        # 1 s, and more on a machine that does other things too: five processes have their turns.
        assert took_s < 1.5 + 5 * late_s()
        assert (end["type"], end["actor"]) == ("iteration_cancelled", "root")
        assert case.files() == BEFORE
        assert (await case.ada.run_ended(run_id))["state"] == "cancelled"
        await case.viewer.quiet(0.2)


@pytest.mark.gen_test
async def test_author_and_starter_may_cancel_and_nobody_else(new_case: Any) -> None:
    async with new_case() as case, api(case.there.address, "ben", roles=()) as ben:
        case.answer(hangs())
        for who in (ben, case.ada):
            run = await ben.post(case.path, {"instruction": "x"}, 202)
            problem = await case.ada.post(case.path, {"instruction": "y"}, 409)
            assert problem["run"]["run_id"] == run["run_id"]
            async with api(case.here.address, "eve") as eve:
                await eve.delete(f"/api/v1/runs/{run['run_id']}", 403)
            await who.delete(f"/api/v1/runs/{run['run_id']}")
            assert (await case.end())["type"] == "iteration_cancelled"


@pytest.mark.gen_test
async def test_it_goes_on_without_whoever_started_it(new_case: Any) -> None:
    gate = Gate()
    async with new_case() as case:
        case.answer(says_in_parts(gate, ["Well. "], [reply_with({"proposal.md": "# New\n"})]))
        async with session(case.here.address, case.project, user="ben") as ben:
            await ben.ask("start_iteration", proposal_id=case.proposal_id, instruction="x")
            await ben.recv_type("token")
            await ben.vanish()
        gate.open()
        assert (await case.end())["files_modified"] == ["proposal.md"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (fails(400, f"bad key {KEY}"), "upstream_refused"),
        (fails(401, f"Incorrect API key: {KEY}"), "upstream_unauthorized"),
        (fails(429, "slow down", Retry_After="0"), "upstream_busy"),
        (fails(500), "upstream_failed"),
        (sends(b"data: {}x\n\n"), "upstream_broken"),
        (sends(b"[1]", content_type="application/json"), "upstream_broken"),
        (resets(["one ", "two "], within=b'data: {"choices":[{"del'), "upstream_cut"),
        (hangs(), "upstream_timeout"),
        (hangs(["one "]), "upstream_cut"),
        (sends(BAD["cut amid empty finishes"].body), "upstream_cut"),
        (resets(within=GOOD["stop in every piece"].body[:-20]), "upstream_cut"),
        (says(reply_with({"proposal.md": "x"}), finish="abort"), "upstream_failed"),
        (says(reply_with({"proposal.md": "x"}), finish="banana"), "upstream_broken"),
        (sends(BAD["tool_calls"].body), "no_answer"),
        (sends(BAD["a refusal"].body), "upstream_declined"),
        (sends(BAD["an error field amid the reply"].body), "upstream_failed"),
        (sends(sse(chunk("I will now"), DONE)), "upstream_cut"),
        (sends(sse(chunk('<file path="proposal.md">\nhalf'), DONE)), "upstream_cut"),
        (endless(), "reply_too_large"),
        (says('<file path="proposal.md">\nhalf'), "incomplete_reply"),
        (says("no <file>beginning</file>"), "bad_reply"),
        (says(reply_with({"../other/proposal.md": "x"})), "unsafe_path"),
        (says(reply_with({"/etc/passwd": "x", "proposal.md": "y"})), "unsafe_path"),
    ],
)
async def test_what_goes_wrong_is_said_and_changes_nothing(
    new_case: Any, respond: Respond, reason: str
) -> None:
    async with new_case() as case:
        end = await case.run(respond)
        assert (end["type"], end["reason"]) == ("iteration_error", reason), end
        assert end["error"]
        assert case.files() == BEFORE
        await case.viewer.quiet(0.1)
        # And the next one is not in its way.
        case.seen.clear()
        assert (await case.run(says("Fine as it is.")))["type"] == "iteration_complete"


@pytest.mark.gen_test
async def test_trouble_before_the_first_word_is_tried_again(new_case: Any) -> None:
    async with new_case() as case:
        reply = reply_with({"tasks.md": "new\n"})
        end = await case.run(
            one_by_one(fails(503, Retry_After="0"), resets(within=b"data: {"), says(reply))
        )
        assert end["type"] == "iteration_complete"
        assert case.text() == reply
        assert case.llm.count(case.proposal_id) == 3


@pytest.mark.gen_test
async def test_links_are_not_followed(new_case: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("secret", encoding="utf-8")
    async with new_case() as case:
        (case.folder / "link.md").symlink_to(outside)
        (case.folder / "way").symlink_to(tmp_path)
        for path in ("link.md", "way/outside.md", "way/new.md"):
            end = await case.run(says(reply_with({path: "mine", "proposal.md": "mine"})))
            assert (end["type"], end["reason"]) == ("iteration_error", "unsafe_path")
        assert outside.read_text(encoding="utf-8") == "secret"
        assert (case.folder / "proposal.md").read_text(encoding="utf-8") == BEFORE["proposal.md"]
        assert "secret" not in (await case.llm.asked(case.proposal_id)).request.prompt


@pytest.mark.gen_test
async def test_a_file_that_changed_meanwhile(new_case: Any) -> None:
    gate = Gate()
    reply = reply_with({"proposal.md": "# New\n", "tasks.md": "new\n"})
    async with new_case() as case:
        case.answer(says_in_parts(gate, ["Well. "], [reply]))
        await case.start()
        await case.viewer.recv_type("token")
        (case.folder / "tasks.md").write_text("a person's\n", encoding="utf-8")
        gate.open()
        end = await case.end()
        assert (end["type"], end["reason"]) == ("iteration_error", "conflict")
        assert "tasks.md" in end["error"]
        assert case.files() == {**BEFORE, "tasks.md": "a person's\n"}


@pytest.mark.gen_test
async def test_a_project_that_was_locked_meanwhile(new_case: Any) -> None:
    gate = Gate()
    async with new_case() as case, api(case.there.address, "ben", roles=()) as ben:
        case.answer(says_in_parts(gate, ["Well. "], [reply_with({"proposal.md": "# New\n"})]))
        await case.start()
        await case.viewer.recv_type("token")
        lock = f"/api/v1/projects/{case.project}/lock"
        answer = await ben.http.put(lock, json={"reason": "release"})
        assert answer.is_success
        gate.open()
        end = await case.end()
        assert (end["type"], end["reason"]) == ("iteration_error", "locked")
        assert case.files() == BEFORE
        await case.ada.post(case.path, {"instruction": "x"}, 409)


@pytest.mark.gen_test
async def test_stopping_it_when_the_files_are_written(new_case: Any) -> None:
    async with new_case(behaviour="never-ends") as case:
        case.answer(says(reply_with({"proposal.md": "# New\n"})))
        run_id = await case.start()
        await until(lambda: case.files()["proposal.md"] == "# New\n")
        await case.ada.delete(f"/api/v1/runs/{run_id}")
        end = await case.end()
        # A cancelled iteration writes nothing. This one had written, so it is not called that.
        assert end["type"] == "iteration_complete"
        assert end["files_modified"] == ["proposal.md"]
        assert (end["validation"]["status"], end["validation"]["reason"]) == ("error", "cancelled")
        assert (await case.ada.get(f"/api/v1/runs/{run_id}"))["state"] == "completed"


@pytest.mark.gen_test
async def test_what_can_not_be_asked_for(new_case: Any, pair: Pair) -> None:
    async with new_case() as case:
        for body, status in (
            ({"instruction": "  "}, 422),
            ({"instruction": "x" * 10_001}, 422),
            ({"instruction": "a\0b"}, 422),
            ({"instruction": 5}, 422),
            ({}, 422),
        ):
            await case.ada.post(case.path, body, status)
        await case.ada.post("/api/v1/proposals/no-such/iterations", {"instruction": "x"}, 404)
        await case.ada.post("/api/v1/proposals/-bad/iterations", {"instruction": "x"}, 400)
        ack = await case.viewer.ask("start_iteration", proposal_id=case.proposal_id, instruction="")
        assert (ack["type"], ack["reason"]) == ("error", "invalid")
        assert case.llm.count(case.proposal_id) == 0
        # Without files there is nothing to revise.
        await case.ada.propose(case.project, f"empty-{case.project}"[:100])
        run = await case.ada.post(
            f"/api/v1/proposals/{f'empty-{case.project}'[:100]}/iterations",
            {"instruction": "x"},
            202,
        )
        ended = await case.ada.run_ended(run["run_id"])
        assert (ended["state"], ended["result"]["reason"]) == ("error", "no_such_proposal")
    async with api(pair.one.address, "ada", roles=()) as ada:
        await ada.propose(f"{case.project}-2", f"off-{case.project}"[:100])
        problem = await ada.post(
            f"/api/v1/proposals/{f'off-{case.project}'[:100]}/iterations",
            {"instruction": "x"},
            503,
        )
        assert problem["reason"] == "llm_not_configured"


@pytest.mark.gen_test
async def test_prompts_are_bounded_and_unseen_files_stay(
    workers: Workers, llm: LlmThread, project: str
) -> None:
    """And: no validator, no room on the disk. On a worker of its own."""
    base = {**SETTINGS, "llm_base_url": llm.base_url}
    workers.start(**{**base, "llm_context_chars": 1000, "validation_command": "no-such-validator"})
    async with case_on(workers, llm, project, there=0) as case:
        (case.folder / "design.md").write_text("d" * 2000, encoding="utf-8")
        end = await case.run(says(reply_with({"tasks.md": "new\n"})))
        assert end["type"] == "iteration_complete"
        assert (end["validation"]["status"], end["validation"]["reason"]) == (
            "error",
            "command_not_found",
        )
        assert list(end["left_out"]) == ["design.md"]
        prompt = (await llm.asked(case.proposal_id)).request.prompt
        assert "- design.md: it has 2000 characters" in prompt
        assert "dddd" not in prompt

        end = await case.run(says(reply_with({"design.md": "short\n"})))
        assert (end["type"], end["reason"]) == ("iteration_error", "not_shown")

        before = case.files()
        limit = 48 * 1024
        resource.prlimit(case.here.pid, resource.RLIMIT_FSIZE, (limit, limit))
        large = reply_with({"proposal.md": "# New\n", "specs/a/spec.md": "x" * (limit + 1)})
        end = await case.run(says(pieces_of(large, 500)))
        assert (end["type"], end["reason"]) == ("iteration_error", "disk_full")
        assert case.files() == before


@pytest.mark.gen_test(timeout=120)
async def test_runs_that_wait(workers: Workers, llm: LlmThread, project: str) -> None:
    settings = {**SETTINGS, "llm_base_url": llm.base_url, "llm_first_token_timeout_s": 60}
    workers.start_many(2, max_runs_per_project=1, max_queued_runs_per_project=2, **settings)
    one, other = workers.all
    names = [f"passes.{name}-{project}"[:100] for name in "abcde"]
    for name in names:
        make_files(workers.directory / "workspaces", project, name)
        llm.answers[name] = hangs()
    async with (
        api(one.address, "ada", roles=()) as ada,
        api(other.address, "ben", roles=()) as ben,
        session(other.address, project, user="viewer") as viewer,
    ):
        for name in names:
            await ada.propose(project, name, reviewers=["ben"])

        async def start(who: Api, name: str, status: int = 202) -> Any:
            path = f"/api/v1/proposals/{name}/iterations"
            return await who.post(path, {"instruction": "x"}, status)

        a = await start(ada, names[0])
        assert a["state"] == "running"
        b = await start(ada, names[1])
        c = await start(ada, names[2])
        assert [(run["state"], run["place"]) for run in (b, c)] == [("queued", 1), ("queued", 2)]
        problem = await start(ada, names[3], 503)
        assert problem["reason"] == "busy"
        # The project's bound counts over all workers; each has a queue of its own.
        d = await start(ben, names[3])
        assert (d["state"], d["place"]) == ("queued", 3)
        assert (await start(ben, names[1], 409))["run"]["run_id"] == b["run_id"]
        snapshot = await ada.get(f"/api/v1/projects/{project}")
        assert [
            (run["run_id"], run["state"], run.get("place")) for run in snapshot["active_runs"]
        ] == [
            (a["run_id"], "running", None),
            (b["run_id"], "queued", 1),
            (c["run_id"], "queued", 2),
            (d["run_id"], "queued", 3),
        ]
        told = [await viewer.recv_type("run_queued") for _ in range(3)]
        assert [(f["run_id"], f["place"], f["kind"]) for f in told] == [
            (b["run_id"], 1, "iteration"),
            (c["run_id"], 2, "iteration"),
            (d["run_id"], 3, "iteration"),
        ]
        assert llm.count(names[1]) == 0

        # One that waits is cancelled from the other worker, and the others move up.
        await ben.delete(f"/api/v1/runs/{b['run_id']}", 403)
        async with api(other.address, "root", roles=("admin",)) as admin:
            await admin.delete(f"/api/v1/runs/{b['run_id']}")
        end = await viewer.recv_type("iteration_cancelled")
        assert (end["run_id"], end["actor"]) == (b["run_id"], "root")
        places = {(f := await viewer.recv_type("run_queued"))["run_id"]: f["place"] for _ in "cd"}
        assert places == {c["run_id"]: 1, d["run_id"]: 2}
        assert (await ada.get(f"/api/v1/runs/{c['run_id']}"))["place"] == 1

        # And when the first ends, the next begins, with what is needed to come late to it.
        await ada.delete(f"/api/v1/runs/{a['run_id']}")
        start_c = await viewer.recv_type("iteration_start")
        assert start_c["run_id"] == c["run_id"]
        await llm.asked(names[2])
        running = await ada.get(f"/api/v1/runs/{c['run_id']}")
        assert running["state"] == "running"
        assert seq_of(running["replay_from"]) < seq_of(start_c["id"])
        assert llm.count(names[3]) == 0
        await ada.delete(f"/api/v1/runs/{c['run_id']}")
        assert (await viewer.recv_type("iteration_start"))["run_id"] == d["run_id"]
        await ben.delete(f"/api/v1/runs/{d['run_id']}")
        for run in (a, b, c, d):
            assert (await ada.run_ended(run["run_id"]))["state"] == "cancelled"
    counts = [f["run_id"] for f in viewer.frames if f["type"] in ENDS]
    assert sorted(counts) == sorted(run["run_id"] for run in (a, b, c))


def test_check_tries_the_model(llm: LlmThread, mongod: MongodProcess, tmp_path: Path) -> None:
    settings = {
        "data_dir": tmp_path,
        "mongodb_uri": mongod.uri,
        "validation_command": "true",
        "validation_report_command": "",
        "llm_base_url": llm.base_url,
    }

    def as_the_model_says(request: CompletionRequest, answer: Answer) -> Awaitable[None]:
        answers = {
            "good": says("OK"),
            "whole": sends(GOOD["a whole completion"].body, content_type="application/json"),
            "failing": sends(BAD["an error field amid the reply"].body),
            "silent": sends(BAD["reasoning only"].body),
        }
        return answers.get(request.model, fails(401, f"Wrong key {KEY}"))(request, answer)

    llm.answers[""] = as_the_model_says
    good, whole, failing, silent, bad, none = (
        done.stdout
        for done in rtserver_many(
            (["check"], {**settings, "llm_model": "good", "llm_max_tokens": 9}),
            (["check"], {**settings, "llm_model": "whole", "llm_headers": "api-key: x"}),
            (["check"], {**settings, "llm_model": "failing", "llm_extra": '{"top_p": 1}'}),
            (["check"], {**settings, "llm_model": "silent"}),
            (["check"], {**settings, "llm_model": "bad", "llm_api_key": KEY}),
            (["check"], settings),
        )
    )
    assert "LLM: ok (streamed)" in good
    assert "LLM: ok (not streamed)" in whole
    assert "slot lost" in failing
    assert "nothing but its reasoning came" in silent
    assert "does not accept the server's key (HTTP 401)" in bad
    assert KEY not in bad
    assert "RT_LLM_MODEL is not" in none
