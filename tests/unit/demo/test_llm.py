"""The demo's stand-in for a language model."""

from pathlib import Path

import pytest

from rtserver.demo.llm import DEMO_MODEL, demo_server, revision
from rtserver.demo.project import DEMO_PROJECT_ID, install_demo
from rtserver.runs.files.read import read_proposal
from rtserver.runs.iteration.changes import changes_of
from rtserver.runs.iteration.prompt import build_prompt
from rtserver.runs.llm.client import LanguageModel, LlmTimes
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.validation.validator import Validator
from tests.support.node import need_openspec

SERVER_ROOT = Path(__file__).parents[3]


@pytest.mark.gen_test(timeout=120)
async def test_its_revision_is_written_and_valid(tmp_path: Path) -> None:
    install_demo(tmp_path)
    files = read_proposal(tmp_path, DEMO_PROJECT_ID, "add-hold-queue")
    prompt = build_prompt(
        proposal_id="add-hold-queue",
        title="A fair queue",
        files=files,
        findings=[],
        instruction="  Show patrons how long\nthey will wait!  ",
        max_chars=100_000,
    )
    server = demo_server(tokens_per_s=100_000)
    server.start()
    times = LlmTimes(connect=10, first_token=60, token=60, whole=100)
    model = LanguageModel(
        server.base_url, None, DEMO_MODEL, times, max_reply_bytes=1 << 20, max_reply_tokens=100_000
    )
    pieces: list[str] = []
    usage = await model.reply(prompt.messages, pieces.append)
    await model.close()
    await server.stop()

    assert len(pieces) > 300
    assert usage is not None
    assert "demo" in "".join(pieces[:40])
    changes = changes_of("".join(pieces), files, prompt)
    assert changes.paths == ["proposal.md", "specs/holds/spec.md", "tasks.md"]
    for before, after in changes.texts.values():
        assert "Show patrons how long they will wait" in after
        assert after.startswith(before[:50])

    change = tmp_path / DEMO_PROJECT_ID / "openspec" / "changes" / "add-hold-queue"
    for path, (_before, after) in changes.texts.items():
        (change / path).write_text(after, encoding="utf-8")
    need_openspec()
    validator = Validator(None, None, 100.0, tmp_path, SERVER_ROOT)

    async def no_lines(_lines: list[OutputLine]) -> None: ...

    outcome = await validator.validate(DEMO_PROJECT_ID, "add-hold-queue", no_lines)
    assert outcome.status == "passed", outcome.summary


def test_prompts_of_others() -> None:
    assert "no file here" in revision("Say OK.")
    assert "no file here" in revision('<file path="proposal.md">broken')
    again = revision(
        '<file path="specs/a/spec.md">\n## ADDED Requirements\n\n### Requirement: Wait less\n'
        "</file>\n<instruction>\nwait less.\n</instruction>"
    )
    assert "### Requirement: Wait less (2)\n" in again
