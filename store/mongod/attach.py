"""How the workers of one host find the mongod that one process holds for all of them."""

import asyncio
from pathlib import Path

import structlog

from store.mongod.directory import Holder, MongodDir
from store.mongod.errors import MongodFailed

_POLL_S = 0.05

_log = structlog.get_logger()


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
