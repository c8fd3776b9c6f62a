"""Lets go of the contents of revisions that nobody needs any more."""

import asyncio
from typing import NoReturn

import structlog

from rtserver.model.errors import StoreUnavailableError
from rtserver.revisions.model import RevisionStore

INTERVAL_S = 6 * 3600.0
DAY_S = 24 * 3600.0

_log = structlog.get_logger()


async def prune_now_and_then(
    revisions: RevisionStore, kept_days: int, *, interval_s: float = INTERVAL_S
) -> NoReturn:
    """Prune what belongs to proposals that are long archived, until cancelled.

    Every worker does: what one has removed is none of the others' work any more.

    Args:
        revisions: the store.
        kept_days: for how long after a proposal was archived its contents are kept.
        interval_s: how often.
    """
    while True:
        await asyncio.sleep(interval_s)
        try:
            gone = await revisions.prune(kept_days * DAY_S)
        except StoreUnavailableError as error:
            _log.warning("contents_not_pruned", error=str(error))
        else:
            if gone:
                _log.info("contents_pruned", contents=gone)
