"""The private mongod's process, for when no MongoDB is configured.

It is a one-node replica set that listens on a Unix socket in the data directory and nowhere else.
It runs under the guard of `rtserver.runs.process.spawn`, so it ends with the server however that
ends; what was acknowledged with write concern majority is in its journal and there at the next
start.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import OperationFailure, PyMongoError

from rtserver.runs.process.spawn import GuardedProcess, spawn_guarded
from store.mongod.command import (
    MEMBER_HOST,
    MIN_CACHE_MIB,
    REPLICA_SET,
    ended,
    find_mongod,
    mongod_argv,
    mongod_environment,
)
from store.mongod.directory import Holder, Mode, MongodDir, MongodFailed, end_leftover
from store.mongod.log_file import last_words, open_log, rotate_log

_log = structlog.get_logger()

_ALREADY_INITIALIZED = 23
_DRIVER_TIMEOUT_MS = 5000
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
_TELL_S = 0.5
_LOG_MAX_BYTES = 8 * 1024 * 1024
_LOG_CHECK_S = 60.0


class PrivateMongod:
    """Starts, watches and stops one mongod on one data directory.

    Attributes:
        data_dir: The data directory, absolute.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_mib: int = 256,
        start_timeout_s: float = 30.0,
        mode: Mode = "private",
        binary: Path | None = None,
    ) -> None:
        """Nothing is touched before `start`.

        Args:
            data_dir: The server's data directory; mongod's part is ``mongod/`` in it.
            cache_mib: WiredTiger's cache in MiB, 256 or more.
            start_timeout_s: How long `start` may take, in seconds.
            mode: "shared" where other processes may use it by `attach`.
            binary: The mongod to run; None: `find_mongod`.

        Raises:
            ValueError: The cache is too small for mongod.
        """
        if cache_mib < MIN_CACHE_MIB:
            raise ValueError(f"mongod needs a cache of at least {MIN_CACHE_MIB} MiB")
        self._dir = MongodDir(data_dir)
        self.data_dir = self._dir.data_dir
        self._cache_mib = cache_mib
        self._start_timeout_s = start_timeout_s
        self._mode = mode
        self._binary = binary
        self._changing = asyncio.Lock()
        self._guarded: GuardedProcess | None = None
        self._exited: asyncio.Future[int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._uri: str | None = None

    @property
    def uri(self) -> str:
        """The MongoDB URI, from `start` to `stop`."""
        if self._uri is None:
            raise RuntimeError("the private mongod is not started")
        return self._uri

    @property
    def exited(self) -> asyncio.Future[int]:
        """Done when mongod has ended, asked for or not: its exit status, -N for signal N.

        Each `start` and `restart` makes a new one.
        """
        if self._exited is None:
            raise RuntimeError("the private mongod was never started")
        return self._exited

    async def start(self) -> str:
        """Start mongod, or start it again after it ended, and wait until it takes writes.

        Where it fails or is cancelled nothing is left running, and the data directory is free.

        Returns:
            The URI: a direct connection that bears majority writes, retryable writes, sessions
            and tailable cursors.

        Raises:
            MongodNotFound: There is no mongod on this host.
            DataDirInUse: Another process holds the data directory.
            MongodFailed: mongod ended, or took longer than the time-out; with its last words.
        """
        async with self._changing:
            if self._guarded is not None and not self.exited.done():
                raise RuntimeError("the private mongod is running")
            return await self._start()

    async def restart(self) -> str:
        """Stop mongod if it runs, and start it, keeping the data directory; see `start`."""
        async with self._changing:
            return await self._start()

    async def stop(self) -> None:
        """Shut mongod down cleanly, after 10 s by force, and free the data directory."""
        async with self._changing:
            await self._stop()

    async def _start(self) -> str:
        try:
            await self._end_process()
            async with asyncio.timeout(self._start_timeout_s):
                deadline_s = asyncio.get_running_loop().time() + self._start_timeout_s
                return await self._launch(deadline_s)
        except TimeoutError:
            await self._stop()
            raise MongodFailed(
                f"mongod was not ready within {self._start_timeout_s:g} s; "
                f"its log is {self._dir.log}"
            ) from None
        except OSError as error:
            await self._stop()
            raise MongodFailed(f"cannot start mongod in {self.data_dir}: {error}") from error
        except BaseException:
            await self._stop()
            raise

    async def _launch(self, deadline_s: float) -> str:
        binary = self._binary or find_mongod()
        self._dir.create()
        await self._dir.lock(self._mode)
        await end_leftover(self._dir.db)
        self._dir.socket.unlink(missing_ok=True)
        environ = await asyncio.to_thread(mongod_environment, binary, self._dir.run_dir)
        rotate_log(self._dir.log, _LOG_MAX_BYTES)
        with open_log(self._dir.log) as log:
            log_start = log.seek(0, os.SEEK_END)
            self._guarded = await spawn_guarded(
                mongod_argv(binary, self._dir.db, cache_mib=self._cache_mib),
                cwd=self._dir.run_dir,
                env=environ,
                grace_s=_STOP_TIMEOUT_S,
                stdout=log,
                stderr=log,
            )
        self._exited = asyncio.get_running_loop().create_future()
        self._tasks = [
            asyncio.create_task(self._watch(self._guarded, self._exited)),
            asyncio.create_task(self._keep_log_small()),
        ]
        uri = f"mongodb://{quote(str(self._dir.socket), safe='')}/?directConnection=true"
        await self._unless_it_ends(self._ready(uri, deadline_s), log_start)
        self._dir.write_holder(Holder(os.getpid(), self._mode, uri))
        self._uri = uri
        _log.info(
            "mongod_started", group_id=self._guarded.pid, binary=str(binary), db=str(self._dir.db)
        )
        return uri

    async def _ready(self, uri: str, deadline_s: float) -> None:
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(self._dir.socket)
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(_POLL_S)
                continue
            writer.close()
            await writer.wait_closed()
            break
        # A little less than there is, so that the obstacle is told and not just the time-out.
        left_s = deadline_s - asyncio.get_running_loop().time() - _TELL_S
        try:
            await become_primary(uri, MEMBER_HOST, timeout_s=left_s)
        except NotWritableYetError as error:
            raise MongodFailed(f"mongod runs but takes no writes: {error}") from error

    async def _unless_it_ends(self, work: Coroutine[None, None, None], log_start: int) -> None:
        """Do the work, or give it up when mongod ends."""
        task = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {task, self.exited}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.exited.done():
                raise ended(self.exited.result(), last_words(self._dir.log, log_start))
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, guarded: GuardedProcess, exited: asyncio.Future[int]) -> None:
        status = await guarded.process.wait()
        guarded.kill_group(signal.SIGKILL)  # mongod is still there where only its guard was killed
        guarded.release()
        if self._uri is not None and not self._stopping:  # while starting, start() tells of it
            _log.error("mongod_exited", status=status, log=str(self._dir.log))
        if not exited.done():  # a waiter may have cancelled it
            exited.set_result(status)

    async def _keep_log_small(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            try:
                await asyncio.to_thread(rotate_log, self._dir.log, _LOG_MAX_BYTES)
            except OSError as error:
                _log.warning("mongod_log_not_rotated", error=error.strerror)

    async def _stop(self) -> None:
        try:
            await self._end_process()
        finally:
            self._uri = None
            self._dir.unlock()

    async def _end_process(self) -> None:
        """End mongod and the tasks around it; nothing to do where there is none."""
        if self._guarded is None:
            return
        self._stopping = True
        watch, log_keeper = self._tasks
        try:
            log_keeper.cancel()
            for sig in (signal.SIGTERM, signal.SIGKILL):
                self._guarded.kill_group(sig)
                done, _ = await asyncio.wait({watch}, timeout=_STOP_TIMEOUT_S)
                if done:
                    break
                _log.warning("mongod_not_stopped", signal=sig.name, waited_s=_STOP_TIMEOUT_S)
        finally:
            self._guarded.release()  # where this was cancelled, the guard goes on with it
            watch.cancel()
            await asyncio.gather(watch, log_keeper, return_exceptions=True)
            self._guarded = None
            self._tasks = []
            self._stopping = False


class NotWritableYetError(Exception):
    """What stood in the way at the last attempt; for the message when time is up."""


async def become_primary(uri: str, member_host: str, *, timeout_s: float) -> None:
    """Initiate the replica set where it never was, and wait until the node takes writes.

    Args:
        uri: A direct connection to the mongod, which listens already.
        member_host: The node's own address as mongod knows it. It is stored in the database, so it
            should stay true when the data directory is moved.
        timeout_s: How long to wait, in seconds.

    Raises:
        NotWritableYetError: Time is up.
    """
    client: Any = AsyncIOMotorClient(
        uri,
        serverSelectionTimeoutMS=_DRIVER_TIMEOUT_MS,
        connectTimeoutMS=_DRIVER_TIMEOUT_MS,
        socketTimeoutMS=_DRIVER_TIMEOUT_MS,
    )
    obstacle = "mongod did not answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    if await _is_primary(client, member_host):
                        return
                    obstacle = "the election of the primary is not over"
                except PyMongoError as error:
                    obstacle = str(error)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise NotWritableYetError(obstacle) from None
    finally:
        client.close()


async def _is_primary(client: Any, member_host: str) -> bool:
    hello = await client.admin.command("hello")
    if "setName" not in hello:
        config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": member_host}]}
        try:
            await client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:  # it was, and is still reading its configuration
                raise
    return bool(hello.get("isWritablePrimary"))
