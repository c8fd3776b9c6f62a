"""`rtserver.cli.master`, with small programs in place of workers."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rtserver.cli import master
from rtserver.cli.clean_start import told_to
from rtserver.cli.command_line import FAILURE, USAGE
from rtserver.cli.master import Master, main
from tests.support.recorder import LogRecorder
from tests.support.waiting import until

PROGRAM = """
import json, os, signal, socket, sys
folder, *_ = sys.argv[1:]
told = json.load(os.fdopen(int(os.environ["_RTSERVER_SETTINGS_FD"])))
def note(what):
    with open(os.path.join(folder, "notes"), "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
def end(number, _frame):
    note(signal.Signals(number).name)
    os._exit(7)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR1, end)
if os.path.exists(os.path.join(folder, "broken")):
    note("broken")
    os._exit(3)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
    notified.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
note("ready " + told["settings"]["RT_JWT_SECRET"])
while True:
    signal.pause()
"""
SECRET = "not for the command line"


class Site:
    """A master, and what its workers noted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        told = told_to(["serve", "--port", "0"], {"RT_JWT_SECRET": SECRET})
        program = (sys.executable, "-I", "-S", "-c", PROGRAM, str(folder))
        self.said_ready = 0
        self.master = Master(
            told, (), ready_s=30, directory=folder, program=program, on_ready=self._note_ready
        )
        self.running = asyncio.ensure_future(self.master.run())

    def _note_ready(self) -> None:
        self.said_ready += 1

    def notes(self, what: str) -> list[int]:
        """The processes that noted something."""
        path = self._folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines if line.split(" ", 1)[1] == what]

    def ready(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.notes(f"ready {SECRET}")) == count

    def break_next(self) -> None:
        (self._folder / "broken").touch()


@pytest.mark.gen_test
async def test_a_worker_is_replaced_by_one_that_serves_and_by_no_other(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("worker_not_replaced")
    site = Site(tmp_path)
    await until(site.ready(1), "the first")
    site.master.replace()
    await until(site.ready(2), "the second")
    first, second = site.notes(f"ready {SECRET}")
    await until(lambda: site.notes("SIGUSR1") == [first], "a word to the first")
    site.break_next()
    site.master.replace()
    await until(lambda: bool(site.notes("broken")), "one that does not come up")
    await until(lambda: "worker_not_replaced" in str(logs.lines), "a word on it")
    assert site.notes("SIGTERM") == []
    site.master.stop()
    assert await site.running == 7
    assert site.notes("SIGTERM") == [second]
    assert site.said_ready == 1
    assert [line["event"] for line in logs.lines] == [
        *("worker_replacing", "worker_replaced"),
        *("worker_replacing", "worker_not_replaced"),
    ]


@pytest.mark.gen_test
async def test_a_worker_that_ends_by_itself_ends_the_master_and_is_no_secret(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    await until(site.ready(1), "the first")
    (pid,) = site.notes(f"ready {SECRET}")
    process = Path("/proc", str(pid))
    assert SECRET.encode() not in (process / "environ").read_bytes()
    assert SECRET.encode() not in (process / "cmdline").read_bytes()
    os.kill(pid, signal.SIGKILL)
    assert await site.running == 128 + signal.SIGKILL


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # by Tornado
def test_what_is_wrong_is_said_before_a_worker_is_started(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master, "configure_logs", lambda *_given: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, status, said in (
            (["--no-such-flag"], USAGE, "--no-such-flag"),
            (["--port", "x"], USAGE, "RT_PORT"),
            (["--port", str(port)], FAILURE, "cannot listen on 127.0.0.1"),
        ):
            assert main(["master", *arguments], {}) == status
            (line,) = capsys.readouterr().err.splitlines()
            assert said in line
