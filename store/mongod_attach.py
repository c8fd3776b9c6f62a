"""How the workers of one host find the mongod that one process holds for all of them."""

import asyncio
from pathlib import Path

from store.mongod_dir import Holder, MongodDir
from store.mongod_errors import MongodFailed

_POLL_S = 0.05


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
