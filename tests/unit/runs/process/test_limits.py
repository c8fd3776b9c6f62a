"""What a command may take of the machine, and that it may not look into other processes."""

import asyncio
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.run import capture_command

GIB = 1024**3
SHOW = """\
import json, resource
names = ("AS", "DATA", "NPROC", "FSIZE", "CPU")
print(json.dumps({name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}))
"""
LOOK = """\
import json, sys
found = {}
for name in ("environ", "mem", "maps", "cmdline"):
    try:
        found[name] = open(f"/proc/{sys.argv[1]}/{name}", "rb").read(4096).decode("latin1")
    except OSError as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""
CLOSED = """\
import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print("closed", flush=True)
time.sleep(60)
"""


async def run(limits: ToolLimits, code: str, *arguments: str) -> tuple[Any, Any]:
    taken = await capture_command(
        [sys.executable, "-IS", "-c", code, *arguments],
        cwd=Path("/"),
        env={"PATH": "/usr/bin"},
        timeout_s=20,
        max_bytes=100_000,
        limits=limits,
    )
    return taken.result, json.loads(taken.stdout) if taken.stdout else None


@pytest.mark.gen_test
async def test_a_command_gets_its_limits() -> None:
    limits = ToolLimits(8 * GIB, 2 * GIB, 5000, GIB, 100)
    _, found = await run(limits, SHOW)
    assert found == {
        "AS": [8 * GIB, 8 * GIB],
        "DATA": [2 * GIB, 2 * GIB],
        "NPROC": [5000, 5000],
        "FSIZE": [GIB, GIB],
        "CPU": [100, 105],
    }


@pytest.mark.gen_test
async def test_no_limit_is_the_servers_own() -> None:
    _, found = await run(ToolLimits(), SHOW)
    for name, limit in found.items():
        assert tuple(limit) == resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))


@pytest.mark.gen_test
async def test_what_goes_past_them_ends(tmp_path: Path) -> None:
    spin, write, grow = await asyncio.gather(
        run(ToolLimits(cpu_s=1), "while True: pass"),
        run(
            ToolLimits(file_bytes=1000),
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
            f"open({str(tmp_path / 'file')!r}, 'wb').write(bytes(5000))",
        ),
        run(ToolLimits(memory_bytes=64 * 2**20), "bytearray(128 * 2**20)"),
    )
    assert spin[0].signal == signal.SIGXCPU
    assert write[0].signal == signal.SIGXFSZ
    assert (tmp_path / "file").stat().st_size == 1000
    assert grow[0].exit_code == 1


@pytest.mark.gen_test
async def test_a_command_cannot_look_into_a_closed_process() -> None:
    """As root it could, by capabilities that it is rid of."""
    target = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-IS", "-c", CLOSED], env={"SECRET": "hidden"}, stdout=subprocess.PIPE
    )
    try:
        assert target.stdout is not None
        target.stdout.readline()
        _, found = await run(ToolLimits(), LOOK, str(target.pid))
    finally:
        target.kill()
        target.communicate()
    assert found.pop("cmdline").startswith(sys.executable)  # everybody may
    assert found == dict.fromkeys(("environ", "mem", "maps"), "PermissionError")
