"""Keeps a server's secrets from other programs of its account, the validators that it starts first.

What a process was started with can be read in `/proc/PID/environ` by its account, and its command
line in `/proc/PID/cmdline` by everybody, for as long as it runs. So a server that was given
settings there executes itself anew without them, and hands them on in memory. Its memory and its
open files are closed to the account as well (`PR_SET_DUMPABLE`), so it leaves no core either.

Root may look at everything, as may who started the server at what it was started with; see
docs/operations.md, "What validators can see".
"""

import ctypes
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PREFIX = "RT_"
HANDED_OVER = "_RTSERVER_SETTINGS_FD"
"""The variable that names the descriptor of what was handed over."""
SECRET_FLAGS = (
    "--jwt-secret",
    "--llm-api-key",
    "--llm-headers",
    "--mongodb-uri",
    "--webhooks",
    # These may have a key in their query.
    "--audit-witness-url",
    "--llm-base-url",
)
LONG_RUNNING = ("serve", "master", "mongod")
"""The commands that this is for; the others are over in a moment, or run as an operator."""
HIDDEN = "..."
PR_SET_DUMPABLE = 4


def start_clean(arguments: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """What the server was told, after it is out of others' sight; may execute the process anew.

    Args:
        arguments: the command and its arguments.

    Returns:
        The arguments, and the environment with the settings in it.
    """
    handed_over = os.environ.pop(HANDED_OVER, None)
    shown = () if handed_over is not None else _shown()
    close_to_others()
    if handed_over is not None:
        with os.fdopen(int(handed_over), encoding="ascii") as file:
            told = json.load(file)
        return told["arguments"], {**os.environ, **told["settings"]}
    if tuple(arguments[:1]) in {(command,) for command in LONG_RUNNING} and _tells(shown):
        _execute_anew(arguments)
    return list(arguments), os.environ


def _shown() -> tuple[str, ...]:
    """What others can read of how this process was started."""
    return (*_entries("environ"), *_entries("cmdline"))


def _entries(name: str) -> list[str]:
    try:
        return os.fsdecode(Path("/proc/self", name).read_bytes()).split("\0")
    except OSError:  # no /proc, or closed to us too: then it is to others
        return []


def _tells(shown: Iterable[str]) -> bool:
    return any(text.startswith(PREFIX) or _is_secret_flag(text) for text in shown)


def _is_secret_flag(argument: str) -> bool:
    """Whether it is such a flag, or what may be short for one."""
    name = argument.partition("=")[0]
    return len(name) > 2 and any(flag.startswith(name) for flag in SECRET_FLAGS)


def told_to(arguments: Sequence[str], settings: Mapping[str, str]) -> bytes:
    """What a server is handed over in memory: its command, and its settings."""
    told = {"arguments": list(arguments), "settings": dict(settings)}
    return json.dumps(told).encode("ascii")


def memory_file(content: bytes) -> int:
    """The descriptor of a file in memory, at its beginning."""
    fd = os.memfd_create("settings")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _execute_anew(arguments: Sequence[str]) -> None:
    settings = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
    fd = memory_file(told_to(arguments, settings))
    os.set_inheritable(fd, True)
    environ = {name: text for name, text in os.environ.items() if name not in settings}
    os.execve(  # noqa: S606  (the very program that runs already)
        sys.executable,
        [sys.executable, *without_secrets(sys.orig_argv[1:])],
        {**environ, HANDED_OVER: str(fd)},
    )


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """The command line as it may be seen: it tells people how the server was started."""
    shown: list[str] = []
    hides_next = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_secret = _is_secret_flag(argument)
        if hides_next and not is_secret:
            shown.append(HIDDEN)
        elif is_secret and equals:
            shown.append(f"{name}={HIDDEN}")
        else:
            shown.append(argument)
        hides_next = is_secret and not equals
    return shown


def close_to_others() -> None:
    """Close memory and files of this process to its account, and have it leave no core."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    except AttributeError:  # not Linux
        return
