"""Supervision of a command: waits for its end or ends it, and takes the last of its output."""

import asyncio
import signal
import time

import structlog

from rtserver.runs.process.pipe import OutputPipes, OutputSink, Ticker
from rtserver.runs.process.spawn import GuardedProcess

# After the command and its process group have ended, only a process that left the group can still
# hold a pipe. It gets this many looks without output before nobody listens any more. Looks are
# counted, not seconds: a server that was stopped and goes on has not read yet what is there.
_EOF_LOOKS = 5
_EOF_LOOK_INTERVAL_S = 0.1
# ...and this much: more than a pipe (at most 1 MiB, see pipe(7)) and our buffer can still hold of
# the command's own output.
_TAIL_BYTES = 2 * 1024 * 1024
# SIGKILL can't be refused, but a process in an uninterruptible system call takes its time.
_KILL_WAIT_S = 10.0
_REAP_TIMEOUT_S = 1.0
_REAP_POLL_S = 0.01

_log = structlog.get_logger()


class ProcessWatch:
    """Sees one started command and its output through to the end.

    Args:
        guarded: the command; it is released in the end.
        pipes: where it prints.
        term_grace_s: time between SIGTERM and SIGKILL.
    """

    def __init__(self, guarded: GuardedProcess, pipes: OutputPipes, *, term_grace_s: float) -> None:
        self._guarded = guarded
        self._pipes = pipes
        self._term_grace_s = term_grace_s

    async def to_end(
        self, timeout_s: float, sinks: list[OutputSink], ticker: Ticker | None = None
    ) -> bool:
        """Wait for the command and its output; nothing of either is left afterwards.

        Args:
            timeout_s: how long the command may run before it is ended.
            sinks: what takes the output, one for each pipe.
            ticker: told now and then that time has passed.

        Returns:
            Whether it had to be ended because its time was up.

        Raises:
            Exception: whatever a sink raised; the command is ended first. Likewise when cancelled.
        """
        exited = asyncio.create_task(self._guarded.process.wait())
        pump = asyncio.create_task(self._pipes.pump(sinks, ticker))
        try:
            timed_out = not await self._has_exited(exited, pump, timeout_s)
            if timed_out:
                await self._end(exited)
            self._pipes.close_write_ends()
            await self._take_the_rest(pump)
        except BaseException:
            # Nobody wants the output any more, but it is read on so that the command, which has
            # still to be ended, does not have to wait with a full pipe.
            self._pipes.muted = True
            raise
        finally:
            try:
                await self._end(exited)
            finally:
                pump.cancel()
                self._guarded.release()
                await asyncio.gather(pump, return_exceptions=True)
        return timed_out

    async def _has_exited(
        self, exited: asyncio.Task[int], pump: asyncio.Task[None], timeout_s: float
    ) -> bool:
        """Wait until the command has ended, or for so long; raise what the pump raises."""
        deadline = time.monotonic() + timeout_s
        waiting: set[asyncio.Task[int] | asyncio.Task[None]] = {exited, pump}
        while not exited.done():
            left_s = max(0.0, deadline - time.monotonic())
            done, _ = await asyncio.wait(
                waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return False
            waiting -= done
            _raise_of(pump)
        return True

    async def _take_the_rest(self, pump: asyncio.Task[None]) -> None:
        """Take what the command printed last, though others may still hold its pipes.

        Takes as long as the sinks take: while the log takes no events, lines wait. A pipe and its
        buffer bound how much.
        """
        before = self._pipes.bytes
        looks = [0] * len(self._pipes.pipes)
        while True:
            await asyncio.wait({pump}, timeout=_EOF_LOOK_INTERVAL_S)
            _raise_of(pump)
            if pump.done():
                return
            too_much = self._pipes.bytes - before > _TAIL_BYTES
            for index, is_quiet in enumerate(self._pipes.look()):
                looks[index] = looks[index] + 1 if is_quiet else 0
                if too_much or looks[index] >= _EOF_LOOKS:
                    self._pipes.end(index)

    async def _end(self, exited: asyncio.Task[int]) -> None:
        """End the command and its group, unless it has ended; never leaves it half done."""
        cancelled = False
        for sig, wait_s in (
            (signal.SIGTERM, self._term_grace_s),
            (signal.SIGKILL, _KILL_WAIT_S),
        ):
            if exited.done():
                break
            self._guarded.kill_group(sig)
            try:
                await asyncio.wait({exited}, timeout=wait_s)
            except asyncio.CancelledError:
                cancelled = True
        if not exited.done():
            _log.error("process_not_ended", pid=self._guarded.pid)
            exited.cancel()
        elif self._guarded.process.returncode == -signal.SIGKILL:
            # The guard died with the others, or alone and then the others are still there.
            cancelled = not await self._is_group_gone() or cancelled
        if cancelled:
            raise asyncio.CancelledError

    async def _is_group_gone(self) -> bool:
        """Kill what is left of the group and wait for it to be gone; False when cancelled.

        What is dead but was not yet collected by the system's init still counts as there, so
        this does not wait for long.
        """
        deadline = time.monotonic() + _REAP_TIMEOUT_S
        try:
            # The kernel tells nobody when a group has become empty.
            while (  # noqa: ASYNC110
                self._guarded.kill_group(signal.SIGKILL) and time.monotonic() < deadline
            ):
                await asyncio.sleep(_REAP_POLL_S)
        except asyncio.CancelledError:
            return False
        return True


def _raise_of(pump: asyncio.Task[None]) -> None:
    if pump.done() and not pump.cancelled() and (error := pump.exception()):
        raise error
