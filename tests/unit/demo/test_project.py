"""The demo project, judged by the real validator."""

import shutil
import threading
from pathlib import Path

import pytest

from rtserver.demo.project import (
    DEMO_PROJECT_ID,
    SLOW_PROPOSAL_ID,
    SLOWLY,
    DemoProposal,
    install_demo,
)
from rtserver.demo.slowly import NOTE
from rtserver.model import ids
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.validation.validator import ValidationOutcome, Validator
from tests.support.node import need_openspec

SERVER_ROOT = Path(__file__).parents[3]
SLOW = 120.0


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_demo_is_there_after_installing_it(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there" / "yet"
    proposals = install_demo(root)
    assert len(proposals) >= 4
    changes = root / DEMO_PROJECT_ID / "openspec" / "changes"
    assert {proposal.id for proposal in proposals} == {path.name for path in changes.iterdir()}
    for proposal in proposals:
        assert ids.proposal_id(proposal.id) == proposal.id
        text = (changes / proposal.id / "proposal.md").read_text(encoding="utf-8")
        assert text.splitlines()[0] == f"# {proposal.title}"
        assert proposal.author not in proposal.reviewers
        assert proposal.reviewers
    assert ids.project_id(DEMO_PROJECT_ID) == DEMO_PROJECT_ID
    assert [path.name for path in root.iterdir()] == [DEMO_PROJECT_ID]


def test_two_installations_are_the_same(tmp_path: Path) -> None:
    install_demo(tmp_path / "one")
    install_demo(tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_what_people_changed_is_left_as_it_is(tmp_path: Path) -> None:
    first, *_ = install_demo(tmp_path)
    changes = tmp_path / DEMO_PROJECT_ID / "openspec" / "changes"
    changed = changes / first.id / "proposal.md"
    changed.write_text("mine", encoding="utf-8")
    shutil.rmtree(changes / SLOW_PROPOSAL_ID)

    again = install_demo(tmp_path)
    assert changed.read_text(encoding="utf-8") == "mine"
    assert not (changes / SLOW_PROPOSAL_ID).exists()
    assert SLOW_PROPOSAL_ID not in {proposal.id for proposal in again}
    assert first in again


def test_several_workers_install_it_at_once(tmp_path: Path) -> None:
    results: list[list[DemoProposal]] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(10)
        results.append(install_demo(tmp_path))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert [path.name for path in tmp_path.iterdir()] == [DEMO_PROJECT_ID]


def test_an_installation_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(OSError, match="no-demo"):
        install_demo(root, source=tmp_path / "no-demo")
    assert list(root.iterdir()) == []


async def validated(root: Path, proposal_id: str) -> tuple[ValidationOutcome, list[OutputLine]]:
    need_openspec()
    install_demo(root)
    lines: list[OutputLine] = []

    async def on_lines(batch: list[OutputLine]) -> None:
        lines.extend(batch)

    # As the demo has it, only faster.
    run_by = {(DEMO_PROJECT_ID, SLOW_PROPOSAL_ID): (*SLOWLY[:-1], "1000")}
    validator = Validator(None, None, SLOW, root, SERVER_ROOT, run_by=run_by)
    return await validator.validate(DEMO_PROJECT_ID, proposal_id, on_lines), lines


@pytest.mark.gen_test(timeout=SLOW)
@pytest.mark.parametrize("proposal_id", ["add-hold-queue", "rename-patron-to-member"])
async def test_proposals_that_are_valid(tmp_path: Path, proposal_id: str) -> None:
    outcome, lines = await validated(tmp_path, proposal_id)
    assert [line.text for line in lines] == [f"Change '{proposal_id}' is valid"]
    assert outcome.status == "passed"
    assert outcome.summary["report"]["items"][0]["issues"] == []


@pytest.mark.gen_test(timeout=SLOW)
async def test_the_proposal_that_is_not(tmp_path: Path) -> None:
    outcome, lines = await validated(tmp_path, "waive-late-fees")
    assert outcome.status == "failed"
    issues = outcome.summary["report"]["items"][0]["issues"]
    assert len(issues) >= 8
    assert {issue["level"] for issue in issues} == {"ERROR", "WARNING", "INFO"}
    # Its findings are of different kinds and in different files.
    assert {issue["path"] for issue in issues} == {"fees/spec.md", "loans/spec.md", "tasks.md"}
    said = "\n".join(line.text for line in lines)
    for words in (
        "must include at least one scenario",
        "Duplicate requirement",
        "omits scenario(s) the current spec still has",
        "is missing requirement text",
        'Task ID "1.2" is duplicated',
    ):
        assert words in said


@pytest.mark.gen_test(timeout=SLOW)
@pytest.mark.parametrize("smaller", [True, pytest.param(False, marks=pytest.mark.soak)])
async def test_the_proposal_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smaller: bool
) -> None:
    if smaller:  # half as many of the rules that make it slow, for a quarter of the time
        monkeypatch.setattr("rtserver.demo.project._OLD_RULES_A_MATTER", 3)
    outcome, lines = await validated(tmp_path, SLOW_PROPOSAL_ID)
    assert outcome.status == "failed"
    assert lines[0].text == NOTE.format(1000)
    assert len(lines) > 300
    assert smaller or outcome.summary["duration_ms"] > 1500
    # Complete: the report of so many findings still goes into an event.
    assert len(outcome.summary["report"]["items"][0]["issues"]) > 300
