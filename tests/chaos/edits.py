"""What is done to texts meanwhile: uploads, verdicts, iterations by a model, and edits on disk."""

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtserver.demo.completions_server import Answer, CompletionRequest
from rtserver.lib.waiting import is_set_within
from tests.chaos.acts import AUTHOR, PROJECT, PROPOSALS, REVIEWER, Actors
from tests.support.llm_server import pieces_of, says

EDITED = "proposal.md"
UPLOADED = ("proposal.md", "specs/a/spec.md")
REVISED = ("design.md", "tasks.md")
"""Files that models alone write, always both of them and with the same text."""
PIECE_S = 0.02


def digest_of(files: Mapping[str, bytes]) -> str:
    """The digest of a revision, as the interface has it, written down once more."""
    hashed = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.encode()):
        hashed.update(path.encode() + b"\0" + str(len(files[path])).encode() + b"\0" + files[path])
    return "sha256:" + hashed.hexdigest()


async def revise(request: CompletionRequest, answer: Answer) -> None:
    """What the model answers: files whose text names the instruction."""
    named = re.findall(r"make it (\d+)", request.prompt)
    text = f"# model {named[-1] if named else 'without an instruction'}\n"
    given = [f'<file path="{path}">\n{text}</file>' for path in REVISED]
    await says(pieces_of("\n".join(given), 16), pause_s=PIECE_S)(request, answer)


@dataclass
class Editors:
    """Those who change texts, and decide on them.

    Attributes:
        workspace: the project's, which workers and this process share.
    """

    acting: Actors
    workspace: Path

    def folder(self, proposal_id: str) -> Path:
        return self.workspace / "openspec" / "changes" / proposal_id

    def on_disk(self, proposal_id: str) -> dict[str, bytes]:
        folder = self.folder(proposal_id)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def write(self, proposal_id: str) -> None:
        """Write a file as an editor does, in one step."""
        text = f"# disk {next(self.acting.numbers)}\n"
        self.acting.stage.history.add(
            "wrote", project_id=PROJECT, proposal_id=proposal_id, path=EDITED, text=text
        )
        aside = self.workspace / "aside"
        aside.write_text(text)
        aside.replace(self.folder(proposal_id) / EDITED)

    def begin(self) -> None:
        """Give each proposal its first text."""
        for proposal_id in PROPOSALS:
            self.folder(proposal_id).mkdir(parents=True)
            self.write(proposal_id)

    def all(self) -> list[Any]:
        """The coroutines of all who act."""
        return [self.uploader(), self.reviewer(), self.iterator(), self.editor()]

    async def _newest(self, chance: random.Random, proposal_id: str) -> int | None:
        address = chance.choice(self.acting.stage.cluster.addresses)
        found = await self.acting.read(address, f"/proposals/{proposal_id}", AUTHOR)
        revision = None if found is None else found["revision"]
        return None if revision is None else int(revision["number"])

    async def _send(
        self, chance: random.Random, user: str, act: str, proposal_id: str, rest: str,
        sent: Mapping[str, Any], method: str = "POST",
    ) -> None:  # fmt: skip
        """Ask for something at a proposal's address and `rest`; it is written down with its id."""
        body = {"proposal_id": proposal_id, **sent}
        path = f"/proposals/{proposal_id}{rest}"
        await self.acting.call(chance, user, act, method, path, body, sent=sent)

    async def editor(self) -> None:
        acting, chance = self.acting, self.acting.chance_of("editor")
        while not acting.over.is_set():
            await is_set_within(acting.over, chance.uniform(0.3, 3.0))
            self.write(chance.choice(PROPOSALS))

    async def uploader(self) -> None:
        acting, chance = self.acting, self.acting.chance_of("uploader")
        while not acting.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            base = await self._newest(chance, proposal_id)
            if base is not None:
                text = f"# upload {next(acting.numbers)}\n"
                sent = {"base": base, "files": dict.fromkeys(UPLOADED, text)}
                await self._send(chance, AUTHOR, "revise", proposal_id, "/revisions", sent)
            await is_set_within(acting.over, chance.uniform(0.3, 2.0))

    async def reviewer(self) -> None:
        acting, chance = self.acting, self.acting.chance_of("reviewer")
        while not acting.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            number = await self._newest(chance, proposal_id)
            if number is not None:
                verdict = chance.choice(["approve", "approve", "approve", "request_changes"])
                sent: dict[str, Any] = {"verdict": verdict, "revision": number}
                await self._send(chance, REVIEWER, "review", proposal_id, "/reviews", sent)
                for status in ("in_review", "approved"):
                    sent = {"status": status}
                    await self._send(chance, REVIEWER, "status", proposal_id, "", sent, "PATCH")
            await is_set_within(acting.over, chance.uniform(0.2, 1.5))

    async def iterator(self) -> None:
        acting, chance = self.acting, self.acting.chance_of("iterator")
        while not acting.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            sent = {"instruction": f"Please make it {next(acting.numbers)}"}
            await self._send(chance, AUTHOR, "iterate", proposal_id, "/iterations", sent)
            await is_set_within(acting.over, chance.uniform(0.2, 2.0))

    def unseen(self, snapshot: Mapping[str, Any]) -> list[str]:
        """The proposals whose newest revision is not what is on disk."""
        return [
            one["id"]
            for one in snapshot["proposals"]
            if one["revision"] is None
            or one["revision"]["digest"] != digest_of(self.on_disk(one["id"]))
        ]

    async def read(self, address: str) -> dict[str, Any]:
        """Revisions, contents and files as they can be read in the end."""
        revisions: dict[str, list[Any]] = {}
        contents: dict[str, str] = {}
        for proposal_id in PROPOSALS:
            revisions[proposal_id] = found = await self._revisions(address, proposal_id)
            for revision in found:
                for file in revision["files"]:
                    if file["sha256"] not in contents:
                        path = f"/proposals/{proposal_id}/revisions/{revision['number']}/files"
                        contents[file["sha256"]] = await self._file(
                            address, f"{path}/{file['path']}"
                        )
        disk = {
            one: {path: content.decode() for path, content in self.on_disk(one).items()}
            for one in PROPOSALS
        }
        return {"revisions": revisions, "contents": contents, "disk": disk}

    async def _file(self, address: str, path: str) -> str:
        answer = await self.acting.request("GET", address, path, AUTHOR)
        answer.raise_for_status()
        return answer.text

    async def _revisions(self, address: str, proposal_id: str) -> list[Any]:
        """All of a proposal, the first one first."""
        found: list[Any] = []
        page: dict[str, Any] = {"more": True}
        while page["more"]:
            before = f"?before={found[-1]['number']}" if found else ""
            path = f"/proposals/{proposal_id}/revisions{before}"
            page = await self.acting.read(address, path, AUTHOR)
            found += page["revisions"]
        return found[::-1]
