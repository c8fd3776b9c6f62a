"""`webhooks`: how endpoints stand, their dead letters, and telling them again."""

import sys
from datetime import UTC, datetime

from rtserver.app.operator.webhooks import WebhookAccess, operator_webhooks
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.moments import rfc3339
from rtserver.model.texts import printable

WEBHOOK_ACTIONS = ("status", "dead-letters", "send-again", "enable")


async def webhooks(settings: Settings, action: str, endpoint_id: str | None) -> int:
    """Carry out one of `WEBHOOK_ACTIONS`.

    Args:
        settings: of the server, its endpoints included.
        action: which.
        endpoint_id: for which endpoint; only `status` is for all.

    Raises:
        OperatorError, StoreUnavailableError: it can't be done, or not be recorded.
    """
    if endpoint_id is None and action != "status":
        raise OperatorError(f"`webhooks {action}` needs the id of an endpoint")
    async with operator_webhooks(settings) as access:
        if endpoint_id is None or action == "status":
            return await _status(access)
        if action == "dead-letters":
            return await _dead_letters(access, endpoint_id)
        if action == "enable":
            await access.enable(endpoint_id)
            return _say(f"{endpoint_id} is told again")
        sent = await access.send_again(endpoint_id)
        _say(f"{sent.accepted} accepted")
        if sent.problem is not None:
            raise OperatorError(f"the next one was not accepted ({sent.problem}); it is kept")
        return 0


async def _status(access: WebhookAccess) -> int:
    for endpoint_id, held in (await access.places.listed()).items():
        if held.disabled is not None:
            _say(f"{endpoint_id}: disabled, {printable(held.disabled)}")
        for project_id, state in held.feeds.items():
            failing = ""
            if state.failures:
                failing = (
                    f", {state.failures} attempts failed since {_moment(state.failing_since_s)}, "
                    f"the next is at {_moment(state.due_s)}"
                )
            _say(f"{endpoint_id} {project_id}: told up to {state.position}{failing}")
    return 0


async def _dead_letters(access: WebhookAccess, endpoint_id: str) -> int:
    async for letter in access.letters.listed(endpoint_id):
        message = letter.message
        _say(
            f"{message.id} {letter.project_id} {_moment(message.at_s)} {len(message.body)} bytes: "
            f"{printable(letter.reason)}"
        )
    return 0


def _moment(at_s: float) -> str:
    return rfc3339(datetime.fromtimestamp(at_s, UTC))


def _say(line: str) -> int:
    sys.stdout.write(line + "\n")
    return 0
