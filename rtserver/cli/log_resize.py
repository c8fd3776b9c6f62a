"""`log resize`: the operator gives a log the size that the settings say; that is recorded."""

import sys
from collections.abc import Mapping

from rtserver.app.operator.logs import operator_resizing
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError


async def resize(settings: Settings, log: str, *, shrink: bool) -> int:
    """Give a log its size.

    Args:
        settings: of the server; they say the size.
        log: `events`, `audit` or `strangers`.
        shrink: also where its oldest have to go.

    Raises:
        OperatorError, StoreUnavailableError: it can't be done, or not be recorded.
    """
    async with operator_resizing(settings, log) as change:
        if change.after_bytes == change.before_bytes:
            sys.stdout.write(f"{log} holds {change.before_bytes} bytes, as its setting says\n")
            return 0
        if change.after_bytes < change.before_bytes and not shrink:
            raise OperatorError(
                f"{log} can hold {change.before_bytes} bytes, would hold {change.after_bytes}, and "
                f"has {change.used_bytes}: what is beyond is deleted, the oldest first. "
                "Give --shrink where that is wanted"
            )
        await change.carry_out()
    sys.stdout.write(
        f"{log} held {change.before_bytes} bytes and holds {change.after_bytes} from now on; "
        "restart the workers\n"
    )
    return 0


LOGS: Mapping[str, str] = {
    "events": "RT_EVENT_LOG_BYTES",
    "audit": "RT_AUDIT_LOG_BYTES",
    "strangers": "RT_STRANGER_LOG_BYTES",
}
"""By the name of a log, the setting of its size."""
