"""What a model's reply makes of a proposal's files."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rtserver.demo.completions_server import Answer, CompletionRequest, Respond
from tests.integration.iteration_case import ENDS, SETTINGS, files_in
from tests.support.api import api
from tests.support.llm_server import LlmThread, says
from tests.support.mongo import MongodProcess
from tests.support.node import need_openspec
from tests.support.sockets import Frame, session
from tests.support.workers import Worker, Workers

PROJECT = "library"
WHY = "# Change\n\n## Why\n\n" + "Members ask for it every day. " * 3
PROPOSAL = f"{WHY}\n\n## What Changes\n\n- Loans are renewed by themselves.\n"
SPEC = """## ADDED Requirements

### Requirement: Loans renew themselves
The service SHALL renew a loan on its last day.

#### Scenario: The last day of a loan
- **WHEN** the last day of a loan comes
- **THEN** it is renewed
"""
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="module")
def _workers(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory, llm: LlmThread
) -> Iterator[Workers]:
    settings = {key: SETTINGS[key] for key in SETTINGS if not key.startswith("validation_")}
    with mongod.fresh_database() as name:
        workers = Workers(
            tmp_path_factory.mktemp("files"),
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "llm_base_url": llm.base_url,
                **settings,
            },
        )
        yield workers
        problems = workers.stop() + workers.unexpected()
    assert problems == []


@pytest.fixture(scope="module")
def worker(_workers: Workers) -> Worker:
    """Its validator is a quick one: OpenSpec needs two seconds of the processor for a verdict."""
    return _workers.start(validation_command="true", validation_report_command="")


@pytest.fixture
def judged(_workers: Workers, llm: LlmThread) -> "Change":
    """A change that the real OpenSpec judges."""
    need_openspec()
    return _change(_workers.start(), llm)


class Change:
    """A change in an OpenSpec workspace, whose strict validation fails: it has no deltas."""

    def __init__(self, worker: Worker, llm: LlmThread, root: Path, name: str) -> None:
        self._worker = worker
        self._llm = llm
        self._proposed = False
        self.name = name
        self.openspec = root / PROJECT / "openspec"
        self.folder = self.openspec / "changes" / name
        self.write("proposal.md", PROPOSAL)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    async def revise(self, respond: Respond) -> Frame:
        """Have it revised; the one end of the run."""
        self._llm.answers[self.name] = respond
        async with (
            api(self._worker.address, "ada", roles=()) as ada,
            session(self._worker.address, PROJECT, proposal_ids=[self.name]) as viewer,
        ):
            if not self._proposed:
                await ada.propose(PROJECT, self.name)
                self._proposed = True
            path = f"/api/v1/proposals/{self.name}/iterations"
            await ada.post(path, {"instruction": "Make it better"}, 202)
            frames = await viewer.recv_until(lambda frame: frame["type"] in ENDS, timeout_s=60)
            return frames[-1]

    def files(self) -> dict[str, str]:
        return files_in(self.folder)


@pytest.fixture
def change(worker: Worker, llm: LlmThread) -> Change:
    return _change(worker, llm)


def _change(worker: Worker, llm: LlmThread) -> Change:
    name = f"change-{next(_NUMBERS)}"
    return Change(worker, llm, Path(str(worker.settings["workspace_root"])), name)


def file(path: str, text: str) -> str:
    return f'<file path="{path}">\n{text}</file>\n'


def in_marked_tags(files: dict[str, str]) -> Respond:
    """Answer in the form that the prompt asks for."""

    async def respond(request: CompletionRequest, answer: Answer) -> None:
        mark = re.findall(r'^<(file-\w+) path="RELATIVE">$', request.prompt, re.MULTILINE)[-1]
        given = "".join(
            f'<{mark} path="{path}">\n{text}</{mark}>\n' for path, text in files.items()
        )
        await says(f"I do as follows.\n\n{given}")(request, answer)

    return respond


@pytest.mark.gen_test
async def test_a_reply_in_the_form_that_the_prompt_asks_for(judged: Change) -> None:
    end = await judged.revise(in_marked_tags({"specs/loans/spec.md": SPEC}))
    assert (end["type"], end["files_modified"]) == ("iteration_complete", ["specs/loans/spec.md"])
    assert end["validation"]["status"] == "passed", end
    assert judged.files()["specs/loans/spec.md"] == SPEC


SKIP = "schema: spec-driven\nskip_specs: true\n"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "files",
    [
        {".openspec.yaml": SKIP},
        {"./.openspec.yaml": SKIP, "proposal.md": f"{PROPOSAL}- More.\n"},
        {".git/config": "[core]\n\tfsmonitor = touch /tmp/x; false\n"},
        {"specs/.git/hooks/post-checkout.md": "#!/bin/sh\n"},
        {"../../config.yaml": "schema: other\n"},
        {"openspec/config.yaml": "schema: other\n"},
        {"AGENTS.md": "# Do as I say\n"},
        {"Makefile": "all:\n\ttrue\n"},
    ],
    ids=lambda files: next(iter(files)),
)
async def test_no_model_writes_what_tools_obey(change: Change, files: dict[str, str]) -> None:
    before = change.files()
    for respond in (says("".join(map(file, files, files.values()))), in_marked_tags(files)):
        end = await change.revise(respond)
        assert (end["type"], end["reason"]) == ("iteration_error", "unsafe_path"), end
        assert end["error"].startswith("The path ")
        assert change.files() == before
    assert not list(change.openspec.glob("config.*"))


@pytest.mark.gen_test
async def test_what_the_schema_of_the_change_names(change: Change) -> None:
    schema = change.openspec / "schemas" / "with-notes" / "schema.yaml"
    schema.parent.mkdir(parents=True)
    schema.write_text(
        "name: with-notes\nversion: 1\nartifacts:\n"
        "  - {id: notes, generates: 'notes/*.md', description: Notes, template: notes.md}\n",
        encoding="utf-8",
    )
    change.write(".openspec.yaml", "schema: with-notes\n")
    end = await change.revise(says(file("notes/a.md", "# A\n") + file("tasks.md", "- [ ] 1\n")))
    assert (end["type"], end["files_modified"]) == (
        "iteration_complete",
        ["notes/a.md", "tasks.md"],
    ), end


DESIGN = file("design.md", "# A\n")
FENCED = "```markdown\n# A\n```\n"
OTHER = file("proposal.md", "# Replaced\n")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "reply",
    [
        f"{DESIGN}\nI closed it with </file> as asked.\n",
        file("openspec/changes/{name}/design.md", "# A\n"),
        f"```xml\n{file('design.md', FENCED)}```\n",
        f"```\n{OTHER}```\n{DESIGN}",
        f"Hm. <think>\n{OTHER}</think>\n{DESIGN}",
        f"The form is {OTHER.strip().replace(chr(10), ' ')}\n{DESIGN}",
        f"\ufeff{DESIGN}".replace("\n", "\r\n"),
    ],
    ids=["mention", "from the root", "fenced", "quoted", "thought", "in a line", "crlf"],
)
async def test_files_are_taken_as_meant(change: Change, reply: str) -> None:
    before = change.files()
    end = await change.revise(says(reply.replace("{name}", change.name)))
    assert (end["type"], end["files_modified"]) == ("iteration_complete", ["design.md"]), end
    assert change.files() == {**before, "design.md": "# A\n"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (DESIGN + file("design.md", "# B\n"), "bad_reply"),
        (DESIGN + file("proposal.md", "...\n"), "bad_reply"),
        (f"{DESIGN}<file path='tasks.md'>\n- [ ] 1\n", "incomplete_reply"),
        ("Here it is: <file path='design.md'># A</file>", "bad_reply"),
    ],
    ids=["twice", "abbreviated", "not closed", "in a line"],
)
async def test_what_can_not_be_told_is_refused_in_words(
    change: Change, reply: str, reason: str
) -> None:
    before: Any = change.files()
    end = await change.revise(says(reply))
    assert (end["type"], end["reason"]) == ("iteration_error", reason), end
    assert "start it again" in end["error"]
    assert change.files() == before
