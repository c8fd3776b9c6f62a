"""The streams of this worker: who reads runs here, and who is waiting for more."""

from collections import Counter

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.log_pages import LogPages
from rtserver.eventlog.api import EventLog
from rtserver.model.errors import BusyError
from rtserver.model.events import StoredEvent
from rtserver.model.identity import Identity
from rtserver.runs.service import RunService
from rtserver.runs.stream_reader import STREAMED, RunReader

MAX_WAITING_PER_USER = 20
"""So many streams of a user may wait on one worker for what comes next."""


class TooManyStreamsError(BusyError):
    """A user waits for too many streams at once."""

    status = 429
    reason = "too_many_streams"


class RunStreams:
    """The readers of this worker; as a `FeedWatcher` it wakes them."""

    def __init__(
        self, runs: RunService, log: EventLog, dispatcher: Dispatcher, pages: LogPages
    ) -> None:
        """Make it; the caller adds it to the watchers of the dispatcher.

        Args:
            runs: say who may read what.
            log: of the events.
            dispatcher: has the feeds.
            pages: what those read who are further behind.
        """
        self._runs = runs
        self._log = log
        self._dispatcher = dispatcher
        self._pages = pages
        self._readers: dict[str, set[RunReader]] = {}
        self._waiting: Counter[str] = Counter()
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many there are that wait."""
        return self._waiting.total()

    async def open(self, identity: Identity, run_id: str, *, waits: bool) -> RunReader:
        """Read a run; give the reader back to `close`.

        Args:
            identity: who reads.
            run_id: what.
            waits: whether it is to wait for what comes next.

        Raises:
            NotFoundError: there is no such run that this user may see.
            TooManyStreamsError: the user waits for as many as one may.
            StoreUnavailableError: MongoDB does not answer.
        """
        user_id = identity.user_id
        project_id = (await self._runs.get(identity, run_id)).project_id
        if waits and self._waiting[user_id] >= MAX_WAITING_PER_USER:
            raise TooManyStreamsError(
                f"A user may wait for {MAX_WAITING_PER_USER} streams at once", retry_after_s=5
            )
        self._waiting[user_id] += waits
        try:
            feed = await self._dispatcher.open(project_id)
            try:
                stood_at = feed.seq
                run = await self._runs.get(identity, run_id)
            except BaseException:
                self._dispatcher.release(feed)
                raise
        except BaseException:
            self._leave(user_id, waits=waits)
            raise
        reader = RunReader(
            self._log, self._pages, feed, run, user_id, stood_at=stood_at, waits=waits
        )
        if self._stopped:
            reader.end()
        self._readers.setdefault(project_id, set()).add(reader)
        return reader

    def close(self, reader: RunReader) -> None:
        """Give a reader back."""
        readers = self._readers[reader.run.project_id]
        readers.remove(reader)
        if not readers:
            del self._readers[reader.run.project_id]
        self._leave(reader.user_id, waits=reader.waits)
        self._dispatcher.release(reader.feed)

    def _leave(self, user_id: str, *, waits: bool) -> None:
        self._waiting[user_id] -= waits
        if self._waiting[user_id] <= 0:
            del self._waiting[user_id]

    def on_events(self, project_id: str, events: list[StoredEvent]) -> None:
        """Wake those who read a run of a proposal that these events are of."""
        readers = self._readers.get(project_id)
        if not readers:
            return
        newest = {event.proposal_id: event.seq for event in events if event.type in STREAMED}
        for reader in readers:
            seq = newest.get(reader.run.proposal_id)
            if seq is not None:
                reader.wake(seq)

    def forget(self, project_id: str) -> None:
        """Let a project's readers look for what was missed."""
        for reader in self._readers.get(project_id, ()):
            reader.wake()

    def end_of_user(self, user_id: str) -> None:
        """Let a user's readers wait no more: whether they may is to be asked anew."""
        for readers in self._readers.values():
            for reader in readers:
                if reader.user_id == user_id:
                    reader.end()

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopped = True
        for readers in self._readers.values():
            for reader in readers:
                reader.end()
