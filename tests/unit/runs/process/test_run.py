"""Commands that behave and commands that don't, as real processes."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtserver.runs.process import supervise
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.process.run import NICENESS, ProcessResult, capture_command, run_command
from tests.support.processes import is_alive

ENV = {"PATH": os.environ["PATH"]}
LONG = 20.0
MIB = 1024 * 1024

Lines = list[OutputLine]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-u", "-c", code]


async def run(
    argv: list[str],
    *,
    cwd: Path = Path("/"),
    timeout_s: float = LONG,
    grace_s: float = 1.0,
    max_lines: int = 10_000,
    on_lines: Callable[[Lines], Awaitable[None]] | None = None,
) -> tuple[ProcessResult, Lines]:
    seen: Lines = []

    async def collect(lines: Lines) -> None:
        seen.extend(lines)
        if on_lines is not None:
            await on_lines(lines)

    result = await run_command(
        argv,
        cwd=cwd,
        env=ENV,
        timeout_s=timeout_s,
        on_lines=collect,
        max_lines=max_lines,
        term_grace_s=grace_s,
    )
    ended: dict[int, OutputLine] = {}
    for line in seen:
        assert line.replaces is (line.n in ended)
        assert line.n not in ended or ended[line.n].partial
        ended[line.n] = line
    assert list(ended) == list(range(1, result.lines + 1))
    assert not any(line.partial for line in ended.values())
    return result, [replace(line, replaces=False) for line in ended.values()]


def texts(lines: Lines, stream: str = "stdout") -> list[str]:
    return [line.text for line in lines if line.stream == stream]


def forget_peak_memory() -> int:
    """Reset the peak of this process's resident memory; how much there is now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.gen_test
async def test_a_command_that_behaves() -> None:
    result, lines = await run(python("print('one'); print('two')"))
    assert lines == [OutputLine("stdout", 1, "one"), OutputLine("stdout", 2, "two")]
    assert (result.exit_code, result.signal, result.timed_out) == (0, None, False)
    assert result.not_started is None
    assert (result.lines, result.lines_dropped, result.bytes) == (2, 0, 8)
    assert 0 < result.duration_ms < 20_000


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [0, 1, 3, 255])
async def test_the_exit_status_is_handed_on(status: int) -> None:
    result, lines = await run(["sh", "-c", f"exit {status}"])
    assert (result.exit_code, result.signal, lines) == (status, None, [])


@pytest.mark.gen_test
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_a_command_that_dies_by_a_signal(sig: signal.Signals) -> None:
    result, lines = await run(["sh", "-c", f"echo last words; kill -{sig.value} $$"])
    assert (result.exit_code, result.signal) == (None, sig)
    assert texts(lines) == ["last words"]
    assert not result.timed_out


@pytest.mark.gen_test
async def test_lines_arrive_while_the_command_runs(tmp_path: Path) -> None:
    """The command waits, between its lines, for a file that only the arrival of the line makes."""
    code = """
import os, pathlib, sys, time
for n in range(3):
    print(n)
    while not os.path.exists(f"seen-{n}"):
        time.sleep(0.005)
"""

    async def on_lines(lines: Lines) -> None:
        for line in lines:
            (tmp_path / f"seen-{line.text}").touch()

    result, lines = await run(python(code), cwd=tmp_path, on_lines=on_lines, timeout_s=30)
    assert texts(lines) == ["0", "1", "2"]
    assert result.exit_code == 0


@pytest.mark.gen_test(timeout=LONG)
async def test_stdout_and_stderr_are_each_in_order() -> None:
    code = """
import os
for n in range(2000):
    os.write(1 + n % 2, b"%d\\n" % n)
"""
    result, lines = await run(python(code))
    assert texts(lines, "stdout") == [str(n) for n in range(0, 2000, 2)]
    assert texts(lines, "stderr") == [str(n) for n in range(1, 2000, 2)]
    assert result.lines == 2000


@pytest.mark.gen_test
async def test_line_ends_and_the_lack_of_one() -> None:
    code = r"import os; os.write(1, b'unix\ndos\r\n\n\rspinner\rdone\nno end')"
    _, lines = await run(python(code))
    assert texts(lines) == ["unix", "dos", "", "donener", "no end"]


@pytest.mark.gen_test(timeout=LONG)
async def test_a_prompt_is_seen_while_the_command_waits(tmp_path: Path) -> None:
    """It waits for a file that only the arrival of its prompt makes."""
    code = """
import os, time
os.write(1, b"step 1\\nOverwrite it? [y/N] ")
while not os.path.exists("seen"):
    time.sleep(0.005)
os.write(1, b"no answer")
"""
    seen: Lines = []

    async def on_lines(lines: Lines) -> None:
        seen.extend(lines)
        if lines[-1].text.startswith("Overwrite"):
            (tmp_path / "seen").touch()

    _, lines = await run(python(code), cwd=tmp_path, on_lines=on_lines)
    assert texts(lines) == ["step 1", "Overwrite it? [y/N] no answer"]
    asked = seen[1]
    assert (asked.n, asked.text, asked.partial) == (2, "Overwrite it? [y/N] ", True)
    assert (seen[-1].n, seen[-1].partial, seen[-1].replaces) == (2, False, True)


@pytest.mark.gen_test(timeout=LONG)
async def test_progress_is_one_line_that_changes() -> None:
    code = """
import os, time
os.write(1, b"start\\n")
for n in range(0, 101, 2):
    os.write(1, b"\\rDownloading %3d%%" % n)
    time.sleep(0.04)
os.write(1, b"\\nfinished\\n")
"""
    states: list[str] = []

    async def on_lines(lines: Lines) -> None:
        states.extend(line.text for line in lines if line.partial)

    _, lines = await run(python(code), on_lines=on_lines)
    assert texts(lines) == ["start", "Downloading 100%", "finished"]
    assert states == sorted(set(states)), "it goes forward, and says nothing twice"
    assert 3 <= len(states) <= 10


@pytest.mark.gen_test(timeout=LONG)
async def test_of_a_long_progress_the_end_is_kept() -> None:
    code = """
import os
for n in range(1001):
    os.write(2, b"\\rBuilding [%-20s] %5.1f%% eta 0s" % (b"#" * (n // 50), n / 10))
os.write(2, b"\\n")
"""
    _, lines = await run(python(code))
    (line,) = lines
    assert line.text == f"Building [{'#' * 20}] 100.0% eta 0s"
    assert not line.truncated


@pytest.mark.gen_test(timeout=60)
async def test_what_is_printed_in_turns_arrives_in_turns() -> None:
    # Each line waits until the one before was read: so their order is known, however slow the
    # machine is.
    code = """
import array, fcntl, os, termios, time
waiting = array.array("i", [0])
for n in range(40):
    fd = 1 + n % 2
    os.write(fd, b"%d\\n" % n)
    while fcntl.ioctl(fd, termios.FIONREAD, waiting) == 0 and waiting[0]:
        time.sleep(0.001)
"""

    async def slow(_: Lines) -> None:
        await asyncio.sleep(0.05)  # a log that takes its time is no reason to mix them up

    _, lines = await run(python(code), on_lines=slow)
    assert [int(line.text) for line in lines] == list(range(40))


@pytest.mark.gen_test(timeout=LONG)
async def test_a_line_that_has_begun_comes_before_what_the_other_pipe_says_then() -> None:
    code = """
import os, time
os.write(1, b"compiling ... ")
time.sleep(0.1)
os.write(2, b"a warning\\n")
time.sleep(0.1)
os.write(1, b"done\\n")
"""
    _, lines = await run(python(code))
    assert [line.text for line in lines] == ["compiling ... done", "a warning"]


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="no node is installed")
@pytest.mark.gen_test(timeout=LONG)
async def test_node_that_prints_much_and_exits_at_once_loses_nothing_up_to_a_mebibyte() -> None:
    script = (
        "for (let n = 0; n < 9000; n++) console.log(`line ${n} ${'x'.repeat(90)}`); process.exit(1)"
    )
    result, lines = await run(["node", "-e", script])
    assert [int(line.text.split()[1]) for line in lines] == list(range(9000))
    assert (result.exit_code, result.may_have_lost) == (1, False)


@pytest.mark.skipif(NODE is None, reason="no node is installed")
@pytest.mark.gen_test(timeout=LONG)
async def test_what_node_may_have_lost_is_said() -> None:
    script = "console.log('x'.repeat(3 << 20)); console.log('end'); process.exit(1)"
    result, lines = await run(["node", "-e", script])
    assert result.may_have_lost
    assert result.bytes >= MIB
    assert "end" not in texts(lines)
    waits = "import os; os.write(1, b'x' * (3 << 20) + b'\\n'); print('end')"
    result, lines = await run(python(waits))
    assert texts(lines)[-1] == "end"
    assert not result.may_have_lost
    taken = await capture_command(
        ["node", "-e", script], cwd=Path("/"), env=ENV, timeout_s=LONG, max_bytes=4 * MIB
    )
    assert taken.result.may_have_lost


@pytest.mark.gen_test
async def test_a_character_printed_in_two_halves_stays_whole(tmp_path: Path) -> None:
    code = r"""
import os, time
os.write(1, b"x\n\xe2\x82")
while not os.path.exists("seen"):
    time.sleep(0.005)
os.write(1, b"\xac\n")
"""

    async def on_lines(_: Lines) -> None:
        (tmp_path / "seen").touch()

    _, lines = await run(python(code), cwd=tmp_path, on_lines=on_lines)
    assert texts(lines) == ["x", "€"]


@pytest.mark.gen_test(timeout=LONG)
async def test_binary_garbage_becomes_text() -> None:
    _, lines = await run(["head", "-c", "300000", "/dev/urandom"])
    assert len(lines) > 100
    for line in lines:
        assert len(line.text.encode()) <= 16_384
        assert line.truncated == (line.omitted_bytes > 0)
    assert any("\ufffd" in line.text for line in lines)


@pytest.mark.gen_test
async def test_a_long_line_is_cut() -> None:
    code = "print('ä' * 10_000); print('x' * 16_384); print('ok')"
    _, lines = await run([*python(code)[:1], "-X", "utf8", *python(code)[1:]])
    assert lines == [
        OutputLine("stdout", 1, "ä" * 8192, truncated=True, omitted_bytes=2 * (10_000 - 8192)),
        OutputLine("stdout", 2, "x" * 16_384),
        OutputLine("stdout", 3, "ok"),
    ]


@pytest.mark.gen_test
async def test_lines_past_the_limit_are_counted_and_the_command_goes_on(tmp_path: Path) -> None:
    code = """
for n in range(5000):
    print(n)
open("finished", "w").close()
print("end", end="")
"""
    result, lines = await run(python(code), cwd=tmp_path, max_lines=1000)
    assert texts(lines) == [str(n) for n in range(1000)]
    assert (result.lines, result.lines_dropped) == (1000, 4001)
    assert result.exit_code == 0
    assert (tmp_path / "finished").exists()


@pytest.mark.gen_test(timeout=60)
async def test_100_megabytes_of_lines_take_little_memory() -> None:
    before = forget_peak_memory()
    result, lines = await run(["sh", "-c", "yes 'a line like any other' | head -c 100000000"])
    assert result.exit_code == 0
    assert result.bytes == 100_000_000
    assert result.lines == 10_000
    assert result.lines + result.lines_dropped == -(-100_000_000 // 22)
    assert lines[-1] == OutputLine("stdout", 10_000, "a line like any other")
    assert peak_memory() - before < 16 * MIB


@pytest.mark.gen_test(timeout=60)
async def test_100_megabytes_without_a_line_end_take_little_memory() -> None:
    before = forget_peak_memory()
    result, lines = await run(["sh", "-c", "head -c 100000000 /dev/zero >&2"])
    assert result.exit_code == 0
    assert lines == [
        OutputLine("stderr", 1, "\0" * 16_384, truncated=True, omitted_bytes=100_000_000 - 16_384)
    ]
    assert peak_memory() - before < 16 * MIB


@pytest.mark.gen_test(timeout=LONG)
async def test_output_without_end_is_ended_in_time() -> None:
    before = forget_peak_memory()
    result, _ = await run(["yes"], timeout_s=1.0)
    assert result.timed_out
    assert result.signal == signal.SIGTERM
    assert result.lines == 10_000
    assert result.lines_dropped > 0
    assert 1000 <= result.duration_ms < 20_000
    assert peak_memory() - before < 16 * MIB


@pytest.mark.gen_test(timeout=LONG)
async def test_a_command_that_never_ends_is_ended() -> None:
    result, lines = await run(["sh", "-c", "echo $$; sleep 600"], timeout_s=0.5)
    assert result.timed_out
    assert result.signal == signal.SIGTERM
    assert 500 <= result.duration_ms < 20_000
    assert not is_alive(int(lines[0].text))


@pytest.mark.gen_test(timeout=LONG)
async def test_a_command_that_ignores_sigterm_is_killed() -> None:
    code = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: print("no"))
print(os.getpid())
while True:
    time.sleep(1)
"""
    # Long enough for it to have begun to ignore it.
    result, lines = await run(python(code), timeout_s=3.0, grace_s=0.5)
    assert result.timed_out
    assert result.signal == signal.SIGKILL
    assert texts(lines)[1:] == ["no"]
    assert not is_alive(int(lines[0].text))
    assert result.duration_ms < 20_000


@pytest.mark.gen_test(timeout=LONG)
async def test_children_that_keep_the_pipe_do_not_hold_the_run() -> None:
    result, lines = await run(["sh", "-c", "sleep 600 & echo $!; exit 1"], grace_s=0.5)
    assert result.exit_code == 1
    assert not result.timed_out
    assert result.duration_ms < 20_000
    assert not is_alive(int(lines[0].text))


# A daemon that keeps the pipe but not the process group; its parent waits until it has left.
ESCAPE = """
import os, signal, time
read_fd, write_fd = os.pipe()
if os.fork():
    os.close(write_fd)
    os.read(read_fd, 1)
    os._exit(0)
os.setsid()
print(os.getpid())
os.close(write_fd)
"""


@pytest.mark.gen_test(timeout=LONG)
async def test_a_daemon_that_left_the_group_does_not_hold_the_run() -> None:
    fds = open_fds()
    result, lines = await run(python(ESCAPE + "time.sleep(30)"))
    daemon = int(texts(lines)[0])
    try:
        assert result.exit_code == 0
        assert result.duration_ms < 20_000
        assert is_alive(daemon)  # else this test would show nothing
        await asyncio.sleep(0)
        assert open_fds() == fds
    finally:
        os.kill(daemon, signal.SIGKILL)


@pytest.mark.gen_test(timeout=LONG)
async def test_a_daemon_that_left_the_group_and_goes_on_printing_does_not_either() -> None:
    code = ESCAPE + "for _ in range(10**6): os.write(1, b'still here\\n' * 1000)"
    result, lines = await run(python(code))
    daemon = int(texts(lines)[0])
    with suppress(ProcessLookupError):  # with nobody reading, it may have died of SIGPIPE
        os.kill(daemon, signal.SIGKILL)
    assert result.exit_code == 0
    assert result.duration_ms < 20_000


@pytest.mark.gen_test(timeout=LONG)
async def test_the_last_lines_are_not_lost_on_a_slow_taker() -> None:
    """The command has long ended, and its pipe is still full, when most of it is taken."""

    batches = 0

    async def on_lines(_: Lines) -> None:
        nonlocal batches
        batches += 1
        await asyncio.sleep(0.02)

    result, lines = await run(python("for n in range(9000): print(n)"), on_lines=on_lines)
    assert texts(lines) == [str(n) for n in range(9000)]
    # Those that came meanwhile go together: one at a time took half a minute.
    assert batches < 300
    assert result.lines_dropped == 0


@pytest.mark.gen_test(timeout=LONG)
async def test_the_last_lines_wait_however_long_they_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MongoDB was away for 45 s: 15 of 41 lines were stored, and the run had passed."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() * 1000)
    monkeypatch.setattr(supervise, "time", clock)
    held = 0

    async def on_lines(_: Lines) -> None:
        nonlocal held
        held += 1
        # Several minutes by the clock, and several looks at what is left of the output.
        await asyncio.sleep(0.5 if held < 4 else 0)

    code = "for n in range(2000): print(n)"
    result, lines = await run(python(code), on_lines=on_lines, timeout_s=LONG * 1000)
    assert texts(lines) == [str(n) for n in range(2000)]
    assert (result.lines, result.lines_dropped) == (2000, 0)


@pytest.mark.gen_test(timeout=LONG)
async def test_the_command_waits_while_its_lines_are_not_taken(tmp_path: Path) -> None:
    code = """
import os
with open("written", "wb", buffering=0) as file:
    for n in range(20_000):
        os.write(1, b"x" * 999 + b"\\n")
        os.pwrite(file.fileno(), b"%d" % n, 0)
"""
    reached: list[int] = []

    async def stands_still() -> int:
        last = -1
        while True:
            now = int((tmp_path / "written").read_text() or 0)
            if now == last:
                return now
            last = now
            await asyncio.sleep(0.1)

    async def on_lines(_: Lines) -> None:
        if not reached:
            reached.append(await stands_still())

    result, lines = await run(python(code), cwd=tmp_path, on_lines=on_lines)
    assert reached[0] * 1000 < 2 * MIB  # the pipe, and what was read of it
    assert result.lines + result.lines_dropped == 20_000
    assert len(lines) == 10_000


@pytest.mark.gen_test(timeout=LONG)
async def test_a_taker_that_hangs_does_not_keep_the_command_alive() -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_lines(lines: Lines) -> None:
        started.set_result(int(lines[0].text))
        await asyncio.Event().wait()

    task = asyncio.create_task(
        run(["sh", "-c", "echo $$; exec yes"], on_lines=on_lines, timeout_s=0.3)
    )
    pid = await started
    while is_alive(pid):  # noqa: ASYNC110 - another process tells nobody when it ends
        await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.gen_test(timeout=LONG)
async def test_an_error_in_the_taker_ends_the_command() -> None:
    pids: list[int] = []

    async def on_lines(lines: Lines) -> None:
        pids.append(int(lines[0].text))
        raise ConnectionError("the log is not there")

    with pytest.raises(ConnectionError, match="the log is not there"):
        await run(["sh", "-c", "echo $$; sleep 600"], on_lines=on_lines)
    assert not is_alive(pids[0])


@pytest.mark.gen_test(timeout=LONG)
async def test_a_command_does_not_outlive_its_guard() -> None:
    pids: list[int] = []

    async def on_lines(lines: Lines) -> None:
        pids.append(int(lines[0].text))
        os.kill(os.getpgid(pids[0]), signal.SIGKILL)

    result, _ = await run(["sh", "-c", "echo $$; sleep 600"], on_lines=on_lines)
    assert result.signal == signal.SIGKILL
    assert result.duration_ms < 20_000
    assert not is_alive(pids[0])


async def cancelled_when_running(
    code: str, *, grace_s: float, again: bool = False
) -> tuple[list[int], float, Lines]:
    """Run Python code that prints process ids and `ready`; cancel it then.

    Returns:
        The process ids, how long the end took in seconds, and the lines after `ready`.
    """
    ready = asyncio.Event()
    seen: Lines = []
    at_cancel = 0

    async def on_lines(lines: Lines) -> None:
        seen.extend(lines)
        if lines[-1].text == "ready":
            ready.set()

    task = asyncio.create_task(run(python(code), on_lines=on_lines, grace_s=grace_s))
    await ready.wait()
    at_cancel = len(seen)
    before = time.monotonic()
    task.cancel()
    if again:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took_s = time.monotonic() - before
    return [int(line.text) for line in seen[: at_cancel - 1]], took_s, seen[at_cancel:]


FAMILY = """
import os, signal, time
print(os.getpid())
child = os.fork()
if child:
    print(child)
    print("ready")
"""


@pytest.mark.gen_test(timeout=LONG)
async def test_cancelling_ends_the_whole_group_before_it_returns() -> None:
    fds = open_fds()
    pids, took_s, after = await cancelled_when_running(FAMILY + "time.sleep(600)", grace_s=15)
    assert len(pids) == 2
    assert not [pid for pid in pids if is_alive(pid)]
    assert took_s < 14
    assert after == []
    await asyncio.sleep(0)
    assert open_fds() == fds


STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FAMILY


@pytest.mark.gen_test(timeout=LONG)
async def test_cancelling_a_stubborn_group_takes_the_grace() -> None:
    pids, took_s, _ = await cancelled_when_running(STUBBORN + "time.sleep(600)", grace_s=0.5)
    assert not [pid for pid in pids if is_alive(pid)]
    assert 0.5 <= took_s < 20


@pytest.mark.gen_test(timeout=LONG)
async def test_cancelling_again_skips_the_grace() -> None:
    pids, took_s, _ = await cancelled_when_running(
        STUBBORN + "time.sleep(600)", grace_s=15, again=True
    )
    assert not [pid for pid in pids if is_alive(pid)]
    assert took_s < 14


@pytest.mark.gen_test(timeout=LONG)
async def test_a_cancelled_command_is_not_heard_any_more() -> None:
    code = """
import os, signal
def talk(*_):
    os.write(1, b"word\\n" * 100_000)
    os._exit(0)
signal.signal(signal.SIGTERM, talk)
print(os.getpid())
print("ready")
signal.pause()
"""
    pids, took_s, after = await cancelled_when_running(code, grace_s=10)
    assert not is_alive(pids[0])
    assert took_s < 9
    assert after == []


@pytest.mark.gen_test
async def test_a_command_that_is_not_there() -> None:
    result, _ = await run(["no-such-command-here", "x"])
    assert result.not_started == "no-such-command-here: command not found"
    assert not result.found
    assert (result.exit_code, result.signal, result.timed_out) == (None, None, False)


@pytest.mark.gen_test
async def test_a_file_that_is_no_command(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    result, _ = await run(["./data"], cwd=tmp_path)
    assert not result.found


@pytest.mark.gen_test
async def test_a_command_relative_to_its_working_directory(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    result, lines = await run(["./tool"], cwd=tmp_path)
    assert result.found
    assert texts(lines) == [str(tmp_path)]


@pytest.mark.gen_test
async def test_a_working_directory_that_is_not_there(tmp_path: Path) -> None:
    result, _ = await run(["true"], cwd=tmp_path / "gone")
    assert result.found
    assert result.not_started == "its working directory is not there"


@pytest.mark.gen_test
async def test_a_system_that_refuses_to_start_it() -> None:
    result, _ = await run(["true", "x" * 3_000_000])
    assert result.found
    assert result.not_started == "it could not be started: argument list too long"


@pytest.mark.gen_test
async def test_capturing_keeps_the_beginning_of_stdout_only() -> None:
    code = "import os; os.write(2, b'noise'); os.write(1, b'a' * 100 + b'b' * 100); os._exit(1)"
    whole = await capture_command(
        python(code), cwd=Path("/"), env=ENV, timeout_s=LONG, max_bytes=200
    )
    assert (whole.stdout, whole.truncated) == (b"a" * 100 + b"b" * 100, False)
    assert (whole.result.exit_code, whole.result.bytes) == (1, 205)
    part = await capture_command(
        python(code), cwd=Path("/"), env=ENV, timeout_s=LONG, max_bytes=150
    )
    assert (part.stdout, part.truncated) == (b"a" * 100 + b"b" * 50, True)


@pytest.mark.gen_test
async def test_a_command_makes_way_for_the_server() -> None:
    below = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    _, lines = await run(["sh", "-c", f"until [ $(nice) = {below} ]; do :; done; nice"])
    assert texts(lines) == [str(below)]
