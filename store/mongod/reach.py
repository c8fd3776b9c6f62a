"""The mongod of a data directory: another process's where one is shared, else one's own."""

from pathlib import Path

from store.mongod.attach import attach, wait_for_shared
from store.mongod.errors import DataDirInUse
from store.mongod.process import PrivateMongod


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
