"""The runs of a project that are under way, as each welcome lists them, without a query for each.

They are read once and kept with the channel, until an event goes by that changes them. A change is
in MongoDB before its event is in the log, so what is read after an event was handed on has all that
came up to there; what it has beyond that comes as an event too, and a client that is told of a run
twice knows it by its id.
"""

import asyncio
from collections.abc import Awaitable, Callable

from rtserver.delivery.feed import Channel
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventType, StoredEvent
from rtserver.model.run import RunJson

CHANGING = frozenset(
    type_.value
    for type_ in (
        EventType.RUN_QUEUED,
        EventType.VALIDATION_START,
        EventType.VALIDATION_COMPLETE,
        EventType.VALIDATION_ERROR,
        EventType.VALIDATION_CANCELLED,
        EventType.ITERATION_START,
        EventType.ITERATION_COMPLETE,
        EventType.ITERATION_CANCELLED,
        EventType.ITERATION_ERROR,
    )
)
"""The types of events that tell of a change of a run's state or place."""


class ActiveRuns:
    """What sessions ask; `on_events` is a watcher of the dispatcher."""

    def __init__(self, query: Callable[[str], Awaitable[list[RunJson]]]) -> None:
        """Make it.

        Args:
            query: reads the runs of a project, as clients see them.
        """
        self._query = query

    @staticmethod
    def on_events(channel: Channel, events: list[StoredEvent]) -> None:
        """Forget what was read before these events, if one of them changes it."""
        if channel.runs is not None and any(event.type in CHANGING for event in events):
            channel.runs = None

    async def of(self, channel: Channel) -> list[RunJson]:
        """The runs under way, not older than the channel's position.

        Those who ask while they are being read share the answer: had anything changed them since,
        they would be read anew.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        known = channel.runs
        if known is None:
            known = channel.runs = asyncio.get_running_loop().create_future()
            # Retrieved here too: nobody need be waiting for a failure.
            known.add_done_callback(lambda future: future.cancelled() or future.exception())
            try:
                known.set_result(await self._query(channel.project_id))
            except BaseException as error:
                if channel.runs is known:
                    channel.runs = None
                gone = StoreUnavailableError("The project's runs could not be read; try again soon")
                known.set_exception(error if isinstance(error, Exception) else gone)
                raise
        return await asyncio.shield(known)
