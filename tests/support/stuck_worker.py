"""A worker some of whose threads never end: `python -m tests.support.stuck_worker KIND...`.

    python  a thread of the executor that is busy in Python for ever
    c       a thread of the executor that waits in C for ever
    loop    the event loop itself, from SIGUSR2 on

The worker takes its settings from the environment, as `python -m rtserver serve` does.
"""

import asyncio
import signal
import sys
import time

import structlog

from rtserver.app.server import Server
from rtserver.cli.main import main


def busy(*_: object) -> None:
    structlog.get_logger().info("stuck")
    while True:
        pass


def run(kinds: list[str]) -> int:
    start = Server.start

    async def start_and_stick(server: Server) -> None:
        if "loop" in kinds:
            signal.signal(signal.SIGUSR2, busy)
        if "python" in kinds:
            asyncio.get_running_loop().run_in_executor(None, busy)
        if "c" in kinds:
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 10**6)
        await start(server)

    Server.start = start_and_stick  # type: ignore[assignment, method-assign]
    return main(["serve"])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
