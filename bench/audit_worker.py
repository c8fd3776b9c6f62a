"""One worker that also records acts at a rate: `python -m bench.audit_worker`.

What people do at a server is simulated by calling its auditor, since 2,000 real acts a second would
measure the acts. Everything from the call on is the server's own.

Its control port, BENCH_CONTROL_PORT, takes lines: `rate N` records N acts a second from then on.
"""

import asyncio
import gc
import os
import signal
import time

from rtserver.app.server import Server
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.config.settings import Settings
from rtserver.lib.gc_tuning import THRESHOLDS
from rtserver.observe.log_output import configure_logs

TICK_S = 0.005
USERS = 100
TARGETS = 50
ACTIONS = (
    Action.CONNECTION_OPENED,
    Action.CONNECTION_CLOSED,
    Action.VALIDATION_STARTED,
    Action.VALIDATION_ENDED,
    Action.EVENT_PUBLISHED,
)


class Acts:
    """Records acts at a rate."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self.rate_per_s = 0.0
        self._count = 0
        # Made once: simulating an act should cost next to nothing, for only recording is measured.
        self._people = [
            Acting(f"203.0.113.{number}", f"user-{number}", f"p{number % 10}", f"{number:016x}")
            for number in range(USERS)
        ]
        self._targets = [f"proposal-{number}" for number in range(TARGETS)]

    def _act(self) -> None:
        self._count += 1
        number = self._count
        self._auditor.record(
            ACTIONS[number % len(ACTIONS)],
            Outcome.DENIED if number % 20 == 0 else Outcome.ALLOWED,
            by=self._people[number % USERS],
            target=self._targets[number % TARGETS],
            transport="websocket",
            at_us=time.time_ns() // 1000,
        )

    async def run(self) -> None:
        """Go on until cancelled."""
        loop = asyncio.get_running_loop()
        due, last_s = 0.0, loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = loop.time()
            due = min(due + (now_s - last_s) * self.rate_per_s, self.rate_per_s)
            last_s = now_s
            while due >= 1:
                due -= 1
                self._act()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take commands."""
        while line := await reader.readline():
            self.rate_per_s = float(line.split()[1])
            writer.write(b"ok\n")
            await writer.drain()
        writer.close()


async def main() -> None:
    settings = Settings.load(os.environ, {})
    configure_logs(settings.log_format, settings.log_level, settings.secrets)
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = Server(settings, secret=settings.jwt_secret)
    try:
        await server.start()
        acts = Acts(server.features.audit.auditor)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        port = int(os.environ["BENCH_CONTROL_PORT"])
        control = await asyncio.start_server(acts.control, "127.0.0.1", port)
        acting = asyncio.create_task(acts.run())
        await told.wait()
        acting.cancel()
        control.close()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
