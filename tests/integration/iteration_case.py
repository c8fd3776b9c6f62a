"""What tests of iterations share: settings of their workers, and a proposal with a viewer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rtserver.demo.completions_server import Respond
from tests.integration.conftest import VALIDATION_COMMAND
from tests.support.api import Api, api
from tests.support.llm_server import KEY, LlmThread
from tests.support.sockets import Frame, SocketClient, session
from tests.support.workers import Worker, Workers

ENDS = ("iteration_complete", "iteration_cancelled", "iteration_error")
BEFORE = {"proposal.md": "# Old\n", "tasks.md": "- [ ] 1.1 old\n", "specs/a/spec.md": "old\n"}
SETTINGS = {
    "validation_command": VALIDATION_COMMAND,
    "validation_report_command": "",
    "llm_model": "model-1",
    "llm_api_key": KEY,
    "llm_first_token_timeout_s": 3,
    "llm_token_timeout_s": 3,
    "llm_timeout_s": 40,
    "llm_max_reply_bytes": 100_000,
}


def reply_with(files: dict[str, str]) -> str:
    """A reply that gives these files."""
    given = [f'<file path="{path}">\n{text}</file>' for path, text in files.items()]
    return "Here you are, grüße.\n\n" + "\n".join(given)


@dataclass
class Case:
    """A proposal of `ada`'s with files, reviewed by `ben` and a viewer on the other worker.

    Attributes:
        here: the worker on which it is started, unless a test says otherwise.
        there: the other one.
    """

    llm: LlmThread
    here: Worker
    there: Worker
    project: str
    proposal_id: str
    folder: Path
    ada: Api
    viewer: SocketClient
    seen: list[Frame] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where iterations are started."""
        return f"/api/v1/proposals/{self.proposal_id}/iterations"

    def answer(self, respond: Respond) -> None:
        """What the model says next."""
        self.llm.answers[self.proposal_id] = respond

    async def start(self, instruction: str = "Make it new") -> str:
        """Start one as its author; its run id."""
        run = await self.ada.post(self.path, {"instruction": instruction}, 202)
        return str(run["run_id"])

    async def end(self, timeout_s: float = 40) -> Frame:
        """The terminal event; the frames of the run are in `seen`."""
        frames = await self.viewer.recv_until(
            lambda frame: frame["type"] in ENDS, timeout_s=timeout_s
        )
        self.seen += frames
        return frames[-1]

    async def run(self, respond: Respond) -> Frame:
        """Start one, and see it to its one end."""
        self.answer(respond)
        run_id = await self.start()
        end = await self.end()
        assert end["run_id"] == run_id
        assert KEY not in json.dumps(self.seen)
        return end

    def text(self, frames: list[Frame] | None = None) -> str:
        """What was said, as a viewer puts it together."""
        return text_of(self.seen if frames is None else frames)

    def files(self) -> dict[str, str]:
        """The proposal's files as they are."""
        return files_in(self.folder)


def text_of(frames: list[Frame]) -> str:
    """The text of token frames, which must follow each other without a seam."""
    last = 0
    text = ""
    for frame in frames:
        if frame["type"] == "token":
            assert frame.get("first_n", frame["n"]) == last + 1
            last = frame["n"]
            text += frame["content"]
    return text


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make_files(workspaces: Path, project: str, proposal_id: str) -> Path:
    folder = workspaces / project / "openspec" / "changes" / proposal_id
    for path, text in BEFORE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@asynccontextmanager
async def case_on(
    workers: Workers,
    llm: LlmThread,
    project: str,
    *,
    behaviour: str = "passes",
    here: int = 0,
    there: int = 1,
) -> AsyncIterator[Case]:
    proposal_id = f"{behaviour}.{project}"[:120].rstrip(".-")
    folder = make_files(workers.directory / "workspaces", project, proposal_id)
    one, other = workers.all[here], workers.all[there]
    async with (
        api(one.address, "ada", roles=()) as ada,
        session(other.address, project, user="viewer", proposal_ids=[proposal_id]) as viewer,
    ):
        await ada.propose(project, proposal_id, reviewers=["ben", "viewer"])
        await viewer.recv_type("proposal_created")
        yield Case(llm, one, other, project, proposal_id, folder, ada, viewer)
