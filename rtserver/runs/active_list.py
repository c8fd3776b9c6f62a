"""Cache of each open project's active runs, which every welcome lists.

The runs are read once and kept until an event goes by that changes them. A change is in MongoDB
before its event is in the log, so what is read after an event was delivered has all that came up to
there; what it has beyond that comes as an event too, and a client that is told of a run twice knows
it by its id.
"""

import asyncio
from collections.abc import Awaitable, Callable

from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventType, StoredEvent
from rtserver.model.run import RunJson
from rtserver.runs.run_log import RUN_ENDS

RUN_EVENTS = RUN_ENDS | {
    type_.value
    for type_ in (EventType.RUN_QUEUED, EventType.VALIDATION_START, EventType.ITERATION_START)
}
"""The types of events that tell of a change of a run's state or place."""


class ActiveRuns:
    """What sessions ask; a `FeedWatcher` of the dispatcher."""

    def __init__(self, query: Callable[[str], Awaitable[list[RunJson]]]) -> None:
        """Make it.

        Args:
            query: reads the runs of a project, as clients see them.
        """
        self._query = query
        self._known: dict[str, asyncio.Future[list[RunJson]]] = {}

    def on_events(self, project_id: str, events: list[StoredEvent]) -> None:
        """Forget what was read before these events, if one of them changes it."""
        if project_id in self._known and any(event.type in RUN_EVENTS for event in events):
            del self._known[project_id]

    def forget(self, project_id: str) -> None:
        """Read a project's runs anew when they are asked for next."""
        self._known.pop(project_id, None)

    async def of(self, project_id: str) -> list[RunJson]:
        """The runs under way, not older than the position of the project's feed here.

        Those who ask while they are being read share the answer: had anything changed them since,
        they would be read anew.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        known = self._known.get(project_id)
        if known is None:
            known = self._known[project_id] = asyncio.get_running_loop().create_future()
            # Retrieved here too: nobody need be waiting for a failure.
            known.add_done_callback(lambda future: future.cancelled() or future.exception())
            try:
                known.set_result(await self._query(project_id))
            except BaseException as error:
                if self._known.get(project_id) is known:
                    del self._known[project_id]
                gone = StoreUnavailableError("The project's runs could not be read; try again soon")
                known.set_exception(error if isinstance(error, Exception) else gone)
                raise
        return await asyncio.shield(known)
