"""OpenSpec's own command, where it gives an answer that is not ours to find."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtserver.lib import foreign_json
from rtserver.model.errors import ConflictError
from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.run import capture_command

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_WORDS = 600
INSTRUCTIONS_TIMEOUT_S = 20.0
MAX_ARTIFACTS = 12

_ARTIFACT = re.compile(r"[A-Za-z0-9][\w-]{0,63}")


class OpenSpecError(ConflictError):
    """OpenSpec did not do what was asked; the message has its words, for people."""

    reason = "openspec"


@dataclass(frozen=True, slots=True)
class Archived:
    """What archiving a change did.

    Attributes:
        archived_as: the name that the change's folder has now.
        totals: how many requirements of the specs were `added`, `modified`, `removed`, `renamed`.
    """

    archived_as: str
    totals: dict[str, int]


class OpenSpec:
    """Runs `openspec`. Nothing that it is given is a shell's to read."""

    def __init__(self, environment: Mapping[str, str], limits: ToolLimits) -> None:
        """Take what it runs with.

        Args:
            environment: all of its environment; see `rtserver.runs.process.environment`.
            limits: what it may take of the machine.
        """
        self._environment = environment
        self._limits = limits

    def is_there(self) -> bool:
        """Whether it is installed."""
        return shutil.which("openspec", path=self._environment["PATH"]) is not None

    async def diffs(self, root: Path, change: str) -> list[dict[str, Any]]:
        """What `show --diff --json` says of a change: its deltas, in order.

        Raises:
            OpenSpecError: it is not installed, or says nothing that can be read.
        """
        words = ["show", change, "--type", "change", "--diff", "--json", "--no-interactive"]
        answer = await self._ask(words, root)
        deltas = answer.get("deltas")
        if not isinstance(deltas, list):
            raise OpenSpecError("OpenSpec did not say what the change does")
        return [delta for delta in deltas if isinstance(delta, dict)]

    async def instructions(self, root: Path, change: str) -> dict[str, str]:
        """What the change's schema says of each artifact, in the schema's order.

        Raises:
            OpenSpecError: it is not installed, is older, or takes too long.
        """
        try:
            async with asyncio.timeout(INSTRUCTIONS_TIMEOUT_S):
                status = await self._ask(["status", "--change", change, "--json"], root)
                artifacts = status.get("artifactPaths")
                names = [
                    name
                    for name in (artifacts if isinstance(artifacts, dict) else ())
                    if _ARTIFACT.fullmatch(name)
                ][:MAX_ARTIFACTS]
                found = {name: await self._instruction(root, change, name) for name in names}
        except TimeoutError:
            raise OpenSpecError("OpenSpec did not give its instructions in time") from None
        return {name: text for name, text in found.items() if text}

    async def _instruction(self, root: Path, change: str, artifact: str) -> str:
        words = ["instructions", artifact, "--change", change, "--json"]
        said = (await self._ask(words, root)).get("instruction")
        return said if isinstance(said, str) else ""

    async def archive(self, root: Path, change: str) -> Archived:
        """Have a change archived, and the specs updated by it.

        Raises:
            OpenSpecError: it was refused, and nothing was changed; or OpenSpec is not installed.
        """
        answer = await self._ask(["archive", change, "--json", "--yes"], root)
        archived = answer.get("archive")
        if not isinstance(archived, dict):
            raise OpenSpecError(f"OpenSpec did not archive the change: {_words(answer)}")
        totals = archived.get("totals")
        return Archived(
            str(archived.get("archivedAs", "")),
            {
                str(name): count
                for name, count in (totals.items() if isinstance(totals, dict) else ())
                if isinstance(count, int)
            },
        )

    async def _ask(self, words: list[str], root: Path) -> dict[str, Any]:
        if not self.is_there():
            raise OpenSpecError(
                "OpenSpec is not installed on the server: its operator runs `npm ci` in the "
                "server's folder"
            )
        captured = await capture_command(
            ["openspec", *words],
            cwd=root,
            env=self._environment,
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_ANSWER_BYTES,
            limits=self._limits,
        )
        if captured.result.timed_out or captured.truncated:
            raise OpenSpecError("OpenSpec did not answer in time, or said too much")
        try:
            answer = foreign_json.decode(captured.stdout)
        except foreign_json.ForeignJsonError as error:
            raise OpenSpecError(f"What OpenSpec said {error}") from None
        if not isinstance(answer, dict):
            raise OpenSpecError("OpenSpec said something that is no answer")
        return answer


def _words(answer: Mapping[str, Any]) -> str:
    """What OpenSpec says went wrong, in one line."""
    entries = answer.get("status")
    said = [
        " ".join(str(entry.get(key, "")) for key in ("message", "fix"))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]
    line = " ".join(" ".join(said).split())
    return line[:MAX_WORDS] or "it did not say why"
