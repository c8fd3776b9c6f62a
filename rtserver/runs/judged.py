"""Which text a verdict is on."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from rtserver.model.errors import StoreUnavailableError
from rtserver.model.run import JudgedText

T = TypeVar("T")
TextOf = Callable[[str], Awaitable[JudgedText | None]]
"""Finds the text that a proposal has in its workspace now; None where it has none."""

_log = structlog.get_logger()


async def judged(
    text_of: TextOf, proposal_id: str, judge: Callable[[], Awaitable[T]]
) -> tuple[T, JudgedText | None]:
    """Have a proposal's files judged; what was said, and of which text.

    Of none where the files changed meanwhile: nobody knows what of them the validator had read.
    And of none where that can't be found out now, for the verdict is worth more than its label.

    Raises:
        Exception: whatever `judge` raises.
    """
    before = await _text(text_of, proposal_id)
    said = await judge()
    after = await _text(text_of, proposal_id)
    return said, after if after == before else None


async def _text(text_of: TextOf, proposal_id: str) -> JudgedText | None:
    try:
        return await text_of(proposal_id)
    except StoreUnavailableError as error:
        _log.warning("judged_text_unknown", proposal_id=proposal_id, error=str(error))
        return None
