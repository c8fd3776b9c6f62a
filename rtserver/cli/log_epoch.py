"""`log new-epoch`: the operator says that a log is another one; that is recorded."""

import sys

from rtserver.app.operator.logs import begin_log_epoch
from rtserver.config.settings import Settings


async def new_epoch(settings: Settings, log: str) -> int:
    """Give a log another epoch.

    Args:
        settings: of the server.
        log: `events`, `audit` or `strangers`.

    Raises:
        OperatorError, StoreUnavailableError: it can't be done, or not be recorded.
    """
    change = await begin_log_epoch(settings, log)
    sys.stdout.write(
        f"{log} was in epoch {change.before} and is in {change.after} from now on; who comes with "
        "an older position is told that something is lost, and fetches the state anew\n"
    )
    return 0
