"""Runs git in a workspace in such a way that nothing of the workspace's is run by it.

What stands in a workspace is foreign: its hooks, and its configuration, which may name programs.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rtserver.model.texts import printable
from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.run import capture_command, is_command

TIMEOUT_S = 30.0
MAX_OUTPUT_BYTES = 8 * 1024 * 1024
MAX_ERROR_BYTES = 2_000

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.ignoreCase=false",  # else two files of a text may be one
    "protocol.allow=never",  # a partial clone would fetch what it lacks, by whatever it names
    "safe.bareRepository=explicit",
    "fastimport.unpackLimit=1000",  # else a pack for each larger commit
)


class GitError(Exception):
    """Git did not do what was asked; the message has its words, safe to be logged."""


class Git:
    """Runs git's commands."""

    def __init__(self, environment: Mapping[str, str], limits: ToolLimits) -> None:
        """Take what it runs with.

        Args:
            environment: see `rtserver.runs.process.environment`.
            limits: what it may take of the machine.
        """
        self._environment = {
            **environment,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_COMMITTER_NAME": "rtserver",  # in the log of the branch's moves
            "GIT_COMMITTER_EMAIL": "rtserver@users.rtserver.invalid",
        }
        self._limits = limits

    def is_there(self) -> bool:
        """Whether it is installed."""
        return is_command("git", cwd=Path("/"), env=self._environment)

    async def ask(
        self,
        workspace: Path,
        *words: str,
        stdin: Iterable[bytes] = (),
        index: Path | None = None,
    ) -> bytes:
        """What a command prints.

        Args:
            workspace: where it runs. A repository above it is none of ours.
            words: the command.
            stdin: what it reads.
            index: the index that it uses; None: the repository's.

        Raises:
            GitError: it failed, took too long, or said too much.
        """
        above = await asyncio.to_thread(lambda: workspace.resolve().parent)
        environment = {
            **self._environment,
            "GIT_CEILING_DIRECTORIES": str(above),
            **({} if index is None else {"GIT_INDEX_FILE": str(index)}),
        }
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        with tempfile.TemporaryFile() as given:
            given.writelines(stdin)
            given.seek(0)
            captured = await capture_command(
                ["git", "--no-pager", *settings, *words],
                cwd=workspace,
                env=environment,
                timeout_s=TIMEOUT_S,
                max_bytes=MAX_OUTPUT_BYTES,
                max_error_bytes=MAX_ERROR_BYTES,
                limits=self._limits,
                stdin=given,
            )
        result = captured.result
        if result.timed_out or captured.truncated:
            raise GitError(f"git {words[0]} did not end in time, or said too much")
        if result.exit_code != 0:
            said = " ".join(captured.stderr.decode("utf-8", "replace").split())
            why = result.not_started or said or f"it ended with {result.exit_code}"
            raise GitError(f"git {words[0]}: {printable(why)}")
        return captured.stdout
