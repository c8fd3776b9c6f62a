"""The mongod of a data directory: another process's where one is shared, else one's own."""

import asyncio
from pathlib import Path

import structlog

from store.mongod.directory import DataDirInUse, Holder, MongodDir, MongodFailed
from store.mongod.process import PrivateMongod

_POLL_S = 0.05

_log = structlog.get_logger()


async def reach(data_dir: Path, *, shared_wait_s: float = 0.0) -> tuple[str, PrivateMongod | None]:
    """Find the mongod of a data directory, or start it.

    Args:
        data_dir: The data directory.
        shared_wait_s: How long to wait for one that is shared, in seconds, and never to start one;
            0: start one where none is shared.

    Returns:
        Its URI, and the mongod itself where it was started here: the caller's to stop.

    Raises:
        MongodNotFound: There is none on this host.
        DataDirInUse: Another process holds the data directory for itself.
        MongodFailed: It ended, or took too long.
    """
    if shared_wait_s:
        return await wait_for_shared(data_dir, shared_wait_s), None
    uri = await attach(data_dir)
    if uri is not None:
        return uri, None
    own = PrivateMongod(data_dir)
    try:
        return await own.start(), own
    except DataDirInUse:
        # Somebody was quicker. Where it is to be shared, it serves as well.
        uri = await attach(data_dir)
        if uri is None:
            raise
        return uri, None


async def attach(
    data_dir: Path, *, timeout_s: float = 30.0, private_too: bool = False
) -> str | None:
    """The URI of the mongod that a process holds in a data directory.

    Args:
        data_dir: The data directory.
        timeout_s: How long to wait for one that is starting, in seconds.
        private_too: Also one that a server holds for itself, for the operator's commands.

    Returns:
        None where nobody holds the directory, or somebody for itself alone.

    Raises:
        MongodFailed: The one that is starting was not ready in time.
    """
    directory = MongodDir(data_dir)
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                holder = directory.holder()
                if holder is None:
                    return None
                if isinstance(holder, Holder) and holder.mode == "private" and not private_too:
                    return None
                if isinstance(holder, Holder) and holder.uri is not None:
                    return holder.uri
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise MongodFailed(
            f"the mongod shared in {directory.data_dir} was not ready within {timeout_s:g} s"
        ) from None


async def wait_for_shared(data_dir: Path, timeout_s: float) -> str:
    """The URI of the shared mongod of a data directory, also where it is still to be started.

    Args:
        data_dir: The data directory.
        timeout_s: How long to wait, in seconds.

    Raises:
        MongodFailed: There was none in time.
    """
    directory = MongodDir(data_dir)
    holder: object = None
    told = False
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                holder = directory.holder()
                if isinstance(holder, Holder) and holder.mode == "shared" and holder.uri:
                    return holder.uri
                if not told:
                    told = True
                    _log.info("waiting_for_shared_mongod", data_dir=str(directory.data_dir))
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise MongodFailed(
            f"no MongoDB was shared in {directory.data_dir} within {timeout_s:g} s"
            f"{_held_by(holder)}: run `python -m rtserver mongod` with this RT_DATA_DIR"
        ) from None


def _held_by(holder: object) -> str:
    if isinstance(holder, Holder) and holder.mode == "private":
        return f" (process {holder.pid} holds it for itself alone)"
    return ""
