"""The guard with real processes: what it relays, and that nothing outlives the server."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtserver.runs.process.spawn import GuardedProcess, spawn_guarded

GUARD = Path(__file__).parents[4] / "rtserver" / "runs" / "process" / "guard.py"
ROOT = GUARD.parents[3]
PIPE = asyncio.subprocess.PIPE
ENV = {"PATH": os.environ["PATH"]}
LIMIT_S = 4.0


@asynccontextmanager
async def guarded(*argv: str, grace_s: float = 2.0) -> AsyncIterator[GuardedProcess]:
    process = await spawn_guarded(
        argv, cwd=ROOT, env=ENV, grace_s=grace_s, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        process.kill_group(signal.SIGKILL)
        await process.process.communicate()
        process.release()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


async def read_line(process: GuardedProcess) -> str:
    assert process.process.stdout is not None
    line = await asyncio.wait_for(process.process.stdout.readline(), LIMIT_S)
    return line.decode().strip()


def mask(*signals: int) -> int:
    return sum(1 << (sig - 1) for sig in signals)


def own_ignored_signals() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("SigIgn:")[2].split()[0], 16)


def open_fds() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def ends_within(pidfd: int, timeout_s: float) -> bool:
    """Whether the process behind the pidfd ends in time; closes the pidfd."""
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [0, 1, 3, 255])
async def test_relays_the_exit_status_and_both_streams(status: int) -> None:
    async with guarded("sh", "-c", f"echo out; echo err >&2; exit {status}") as process:
        out, err = await asyncio.wait_for(process.process.communicate(), LIMIT_S)
        assert (out, err) == (b"out\n", b"err\n")
        assert process.process.returncode == status


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGINT]
)
async def test_dies_by_the_signal_that_the_command_died_by(sig: signal.Signals) -> None:
    # A shell cannot undo that a signal is ignored, as SIGINT is for tests started with `&`.
    code = "import os, signal as s; s.signal({0}, s.SIG_DFL); os.kill(os.getpid(), {0})"
    command = (
        python(code.format(sig.value))
        if sig is signal.SIGINT
        else ("sh", "-c", f"kill -{sig.value} $$")
    )
    async with guarded(*command) as process:
        assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == -sig


@pytest.mark.gen_test
async def test_command_that_is_not_there_is_127_with_one_line() -> None:
    async with guarded("no-such-command-here") as process:
        _, err = await asyncio.wait_for(process.process.communicate(), LIMIT_S)
        assert process.process.returncode == 127
        assert err == b"no-such-command-here: command not found\n"


@pytest.mark.gen_test
async def test_file_that_cannot_be_executed_is_126_with_one_line(tmp_path: Path) -> None:
    not_executable = tmp_path / "validator"
    not_executable.write_text("#!/bin/sh\n")
    async with guarded(str(not_executable)) as process:
        _, err = await asyncio.wait_for(process.process.communicate(), LIMIT_S)
        assert process.process.returncode == 126
        assert err.decode() == f"{not_executable}: cannot be executed: Permission denied\n"


@pytest.mark.gen_test
async def test_command_runs_in_a_clean_place() -> None:
    code = """if True:
        import os, signal
        open_fds = [n for n in range(64) if os.path.exists(f'/proc/self/fd/{n}')]
        print(open_fds)
        print(os.readlink('/proc/self/fd/0'))
        print(os.getpgrp(), os.getppid(), os.getcwd())
        print(open('/proc/self/environ').read().split(chr(0))[:-1])
        print([line.split()[1] for line in open('/proc/self/status') if line[:6] == 'SigBlk'])
    """
    # What is ignored is asked for without a Python, which ignores SIGPIPE by itself.
    async with guarded(*python(code)) as process:
        fds, stdin, ids, environ, blocked = [await read_line(process) for _ in range(5)]
        assert fds == "[0, 1, 2]"
        assert stdin == "/dev/null"
        assert ids.split() == [str(process.pid), str(process.pid), str(ROOT)]
        assert environ == str([f"PATH={ENV['PATH']}"])
        assert blocked == str(["0" * 16])
    async with guarded("grep", "SigIgn", "/proc/self/status") as process:
        ignored = int((await read_line(process)).split()[1], 16)
        libc_internal = mask(32, 33)  # glibc's posix_spawn sets these; no program uses them
        expected = own_ignored_signals() & ~mask(signal.SIGPIPE, signal.SIGXFSZ)
        assert ignored & ~libc_internal == expected & ~libc_internal


@pytest.mark.gen_test
async def test_output_ends_when_the_command_closes_it() -> None:
    async with guarded("sh", "-c", "exec 1>&- 2>&-; exec sleep 60") as process:
        assert process.process.stdout is not None
        assert await asyncio.wait_for(process.process.stdout.read(), LIMIT_S) == b""
        assert process.process.returncode is None


@pytest.mark.gen_test
async def test_group_gets_sigterm_however_early_it_comes() -> None:
    for delay_s in (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05):
        async with guarded("sleep", "60") as process:
            await asyncio.sleep(delay_s)  # not a wait: it moves the signal through the guard's life
            assert process.kill_group(signal.SIGTERM)
            assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == -signal.SIGTERM


@pytest.mark.gen_test
async def test_release_ends_the_command_and_what_it_started() -> None:
    async with guarded("sh", "-c", "sleep 60 & echo $!; wait") as process:
        grandchild = os.pidfd_open(int(await read_line(process)))
        process.release()
        process.release()
        assert not process.kill_group(signal.SIGTERM)
        assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == -signal.SIGTERM
        assert ends_within(grandchild, LIMIT_S)


@pytest.mark.gen_test
async def test_released_command_may_use_its_grace() -> None:
    script = "trap 'sleep 0.2; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    async with guarded("sh", "-c", script) as process:
        await read_line(process)
        process.release()
        assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == 7


@pytest.mark.gen_test
async def test_released_command_that_will_not_stop_is_killed_after_the_grace() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    async with guarded("sh", "-c", script, grace_s=0.3) as process:
        await read_line(process)
        before = time.monotonic()
        process.release()
        assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == -signal.SIGKILL
        assert time.monotonic() - before >= 0.3


@pytest.mark.gen_test
@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
async def test_what_the_command_leaves_behind_is_ended_and_its_status_kept(trap: str) -> None:
    script = f"{trap} (while :; do sleep 0.05; done) & echo $!; read x < /dev/null; exit 5"
    async with guarded("sh", "-c", script, grace_s=0.2) as process:
        left_behind = os.pidfd_open(int(await read_line(process)))
        assert await asyncio.wait_for(process.process.wait(), LIMIT_S) == 5
        assert ends_within(left_behind, 0)


@pytest.mark.gen_test
async def test_group_can_be_killed_where_the_guard_alone_was_killed() -> None:
    async with guarded("sh", "-c", "echo $$; exec sleep 60") as process:
        command = os.pidfd_open(int(await read_line(process)))
        guard = os.pidfd_open(process.pid)
        process.process.kill()
        assert ends_within(guard, LIMIT_S)
        assert process.kill_group(signal.SIGKILL)
        assert ends_within(command, LIMIT_S)


@pytest.mark.gen_test
async def test_missing_working_directory_raises_and_leaks_no_descriptor(tmp_path: Path) -> None:
    async def attempt() -> None:
        with pytest.raises(FileNotFoundError):
            await spawn_guarded(
                ["true"], cwd=tmp_path / "no", env=ENV, grace_s=1, stdout=PIPE, stderr=PIPE
            )

    await attempt()
    before = open_fds()
    await attempt()
    assert open_fds() == before


@pytest.mark.gen_test
@pytest.mark.parametrize(("argv", "grace_s"), [([], 1.0), (["true"], -1.0)])
async def test_bad_arguments_are_refused(argv: list[str], grace_s: float) -> None:
    with pytest.raises(ValueError, match="a command and a grace"):
        await spawn_guarded(argv, cwd=ROOT, env=ENV, grace_s=grace_s, stdout=PIPE, stderr=PIPE)


def test_refuses_a_group_that_is_not_its_own() -> None:
    """It would signal the group of whoever started it."""
    read_fd, write_fd = os.pipe()
    done = subprocess.run(
        [sys.executable, "-I", "-S", GUARD, str(read_fd), "1", "-", "true"],
        pass_fds=(read_fd,),
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(read_fd)
    os.close(write_fd)
    assert done.returncode == 125
    assert done.stderr == b"guard: must lead a process group of its own\n"


def test_signal_that_comes_before_the_command_is_not_lost_on_it(tmp_path: Path) -> None:
    def with_sigterm_pending() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)

    read_fd, write_fd = os.pipe()
    done = subprocess.run(
        [sys.executable, "-I", "-S", GUARD, str(read_fd), "1", "-", "touch", tmp_path / "was-run"],
        pass_fds=(read_fd,),
        start_new_session=True,
        preexec_fn=with_sigterm_pending,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(read_fd)
    os.close(write_fd)
    assert done.returncode == -signal.SIGTERM
    assert not (tmp_path / "was-run").exists()


OWNER = """
import asyncio, os, sys
from rtserver.runs.process.spawn import spawn_guarded

async def main():
    script = "trap '' TERM; sleep 60 & echo $$ $!; wait; sleep 60"
    guarded = await spawn_guarded(["sh", "-c", script], cwd="/", env=dict(os.environ),
        grace_s=0.2, stdout=asyncio.subprocess.PIPE, stderr=None)
    # A second child of the server must not hold the first one's pipe open.
    other = await asyncio.create_subprocess_exec("sleep", "3")
    line = await guarded.process.stdout.readline()
    print(guarded.pid, other.pid, line.decode().strip(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_nothing_outlives_a_server_that_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        guard, other, command, grandchild = map(int, owner.stdout.readline().split())
        pidfds = [os.pidfd_open(pid) for pid in (guard, command, grandchild)]
        owner.kill()
        assert [ends_within(pidfd, 2.0) for pidfd in pidfds] == [True] * 3
        os.kill(other, signal.SIGKILL)
    finally:
        owner.kill()
        owner.communicate()
