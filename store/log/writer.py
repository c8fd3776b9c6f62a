"""The durable log: group commit with a dense sequence for each project.

Everything that is waiting goes out as one ordered insert. A pack is inserted at last + 1 of its
project; the unique index on (project_id, first) makes that fail where another worker was quicker,
and then the head is read again and what is left is numbered anew. A pack keeps its `_id` through
all attempts, so one whose outcome was unknown (connection lost, stepdown) can be looked up and is
never stored twice.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import structlog
from bson import ObjectId
from pymongo.errors import AutoReconnect, BulkWriteError

from rtserver.eventlog.api import (
    READ_BYTES,
    Fence,
    Horizon,
    KeyReusedError,
    LogBusyError,
    LogUnavailableError,
    Published,
)
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.backoff import Backoff
from rtserver.lib.batching import Batcher
from rtserver.model.audience import Audience
from rtserver.model.events import EventDraft, EventPack
from store.base.client import (
    Database,
    DatabaseError,
    core_errors,
    first_write_error,
    is_refusal,
    newest,
)
from store.log.access import LogAccess
from store.log.collection import EVENTS, CollectionProblemError
from store.log.fences import Fences
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.packing import MAX_PUBLICATION_BYTES, Packing, Publication, publication_of
from store.log.reading import Reader, oldest_stored

DUPLICATE_KEY = 11000
MAX_COMMIT_BYTES = 4 * 1024 * 1024
LEAST_PUBLICATION_BYTES = 64 * 1024
MAX_KNOWN_HEADS = 100_000
MAX_KNOWN_ANSWERS = 4_096
ANSWER_S = 1.0
RETRY_S, MAX_RETRY_S = 0.1, 1.0

_log = structlog.get_logger()


def _words(error: DatabaseError) -> str:
    """An error for the log; that of a bulk write would repeat what was to be written."""
    if isinstance(error, BulkWriteError):
        concern: dict[str, Any] = (error.details.get("writeConcernErrors") or [{}])[0]
        words = concern.get("errmsg", "a bulk write failed")
        return str(first_write_error(error).get("errmsg", words))
    return str(error)


class _Belief(NamedTuple):
    """Where a project's sequence stood, and since when (monotonic time) that is known."""

    seq: int
    since_s: float


class MongoEventLog:
    """`rtserver.eventlog.api.EventLog` on the capped collection.

    `run` must be running for publishers.

    Attributes:
        under_way: set while an insert is waiting for MongoDB's answer.
    """

    def __init__(
        self,
        database: Database,
        heads: Heads,
        metrics: LogMetrics,
        access: LogAccess,
        *,
        marks: Marks,
        epoch: str,
        queue_bytes: int,
        publish_timeout_s: float,
        collection: str = EVENTS,
    ) -> None:
        self._events = database[collection]
        self._confirmed = newest(database)[collection]
        self._heads = heads
        self._fences = Fences(database, collection)
        self._metrics = metrics
        self._access = access
        self._marks = marks
        self._checked_at: object = None
        self._epoch = epoch
        self._queue_bytes = queue_bytes
        self._publish_timeout_s = publish_timeout_s
        self._waiting: deque[Publication] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._last: dict[str, _Belief] = {}
        self._answers: dict[Any, asyncio.Future[bool]] = {}
        self.under_way = asyncio.Event()
        # Many may connect to one project at once, and each asks how far it is.
        self._head_reads: Batcher[tuple[str, bool], None, int] = Batcher(self._read_head)
        self._reader = Reader(self._events)
        self._commit_bytes = min(MAX_COMMIT_BYTES, heads.buffer_bytes // 8)
        self._publication_bytes = max(
            LEAST_PUBLICATION_BYTES, min(MAX_PUBLICATION_BYTES, heads.buffer_bytes // 4)
        )

    @property
    def epoch(self) -> str:
        """Names the life of the log."""
        return self._epoch

    def begin_epoch(self, epoch: str) -> None:
        """Go on in a log that was lost and made anew."""
        self._epoch = epoch
        self._last.clear()
        self._answers.clear()

    async def is_durable(self, identity: Any) -> bool:
        """Whether this worker knows from MongoDB's answer that a majority has a pack.

        Waits for the answer where the pack is on its way. False: it is another worker's, or the
        answer was no plain success.
        """
        answer = self._answers.get(identity)
        if answer is None:
            return False
        # Nobody asks any more for what stands before it in the log.
        for known in list(self._answers):
            del self._answers[known]
            if known == identity:
                break
        await asyncio.wait({answer}, timeout=ANSWER_S)
        return answer.done() and answer.result()

    def _expect_answer(self, packings: list[Packing]) -> "asyncio.Future[bool]":
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers.update((packing.identity, answer) for packing in packings)
        while len(self._answers) > MAX_KNOWN_ANSWERS:
            del self._answers[next(iter(self._answers))]
        return answer

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        """See `rtserver.eventlog.api.EventLog.publish`."""
        publication = publication_of(drafts, key, fence=fence, limit_bytes=self._publication_bytes)
        if fence is not None:
            self._fences.add(publication.project_id, fence)
        self._queue([publication])
        return await self._answer(publication, timeout_s)

    async def publish_each(
        self, keyed: Sequence[tuple[str, EventDraft]]
    ) -> list[Published | KeyReusedError]:
        """See `rtserver.watch.ports.ChangeLog.publish_each`."""
        publications = [
            publication_of([draft], key, limit_bytes=self._publication_bytes)
            for key, draft in keyed
        ]
        self._queue(publications)
        answers: list[Published | KeyReusedError] = []
        for publication in publications:
            try:
                answers.append(await self._answer(publication, None))
            except KeyReusedError as error:
                answers.append(error)
        return answers

    def _queue(self, publications: Sequence[Publication]) -> None:
        """Take publications in, next to each other; all or none."""
        size_bytes = sum(publication.size_bytes for publication in publications)
        if self._waiting_bytes + size_bytes > self._queue_bytes and self._waiting:
            raise LogBusyError
        self._waiting.extend(publications)
        self._waiting_bytes += size_bytes
        self._metrics.publish_queue_bytes.set(self._waiting_bytes)
        self._idle.clear()
        self._wake.set()

    async def _answer(self, publication: Publication, timeout_s: float | None) -> Published:
        timeout = self._publish_timeout_s if timeout_s is None else timeout_s
        try:
            # Shielded: the waiter may give up, the publication is still under way.
            async with asyncio.timeout(None if timeout == math.inf else timeout):
                return await asyncio.shield(publication.done)
        except TimeoutError:
            raise LogUnavailableError(
                "The event log did not confirm in time; the event may still be stored"
            ) from None

    def saw(self, project_id: str, seq: int) -> None:
        """Another worker is known to have come so far: begin behind that, not in vain before."""
        belief = self._last.get(project_id)
        if belief is not None and belief.seq < seq:
            # No fresher for that: nobody knows how long this was on its way.
            self._last[project_id] = belief._replace(seq=seq)

    async def drain(self) -> None:
        """Return when nothing is waiting any more."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write what publishers hand in, until cancelled. Never gives up on a batch."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._commit(self._take())
                self._idle.set()
        finally:
            self._give_up(self._waiting, "The server is stopping; the event was not confirmed")
            await self._access.close()

    @staticmethod
    def _give_up(publications: Iterable[Publication], why: str) -> None:
        for publication in publications:
            if not publication.done.done():
                publication.done.set_exception(LogUnavailableError(why))

    def _take(self) -> list[Packing]:
        """Everything that waits, up to a bound, packed by project in order of arrival."""
        packings: list[Packing] = []
        open_packings: dict[str, Packing] = {}
        size_bytes = 0
        while self._waiting and size_bytes < self._commit_bytes:
            publication = self._waiting.popleft()
            size_bytes += publication.size_bytes
            packing = open_packings.get(publication.project_id)
            if packing is None or not packing.takes(publication):
                identity = ObjectId() if publication.key is None else publication.key
                packing = Packing(
                    publication.project_id, identity, publication.digest, fence=publication.fence
                )
                open_packings[publication.project_id] = packing
                packings.append(packing)
            packing.add(publication)
        self._waiting_bytes -= size_bytes
        self._metrics.publish_queue_bytes.set(self._waiting_bytes)
        return packings

    async def _commit(self, packings: list[Packing]) -> None:
        """Write a batch; when this returns, each of its publishers has an answer."""
        try:
            await self._write(packings)
        except Exception:  # noqa: BLE001 - whatever it is, the writer goes on
            left = [packing for packing in packings if not packing.is_settled()]
            if len(left) <= 1:
                _log.exception("log_cannot_take", packs=len(left))
            else:
                for packing in left:  # so that one that cannot be written stops no other
                    await self._commit([packing])
        finally:
            for packing in packings:
                self._give_up(packing.publications, "The event log did not confirm the event")

    async def _write(self, packings: list[Packing]) -> None:
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while packings:
            try:
                packings = await self._insert(packings)
                continue
            except DatabaseError as error:
                if is_refusal(error):
                    raise
                _log.warning("log_write_failed", error=_words(error))
            # The outcome is unknown: wait until MongoDB answers, then look each pack up.
            self._last.clear()
            while True:
                await backoff.wait()
                try:
                    packings = await self._settle(packings)
                    break
                except DatabaseError as error:
                    _log.warning("log_unreachable", error=str(error))

    async def _insert(self, packings: list[Packing]) -> list[Packing]:
        """Insert packs as far as it goes; those that are left to be numbered anew."""
        # Before the heads are read. They count what no majority has yet, so that writers need not
        # wait for each other: on another primary than theirs, that may be gone.
        at = await self._access.ready()
        await self._number(packings)
        if refused := await self._fences.refused(packings):
            for packing, error in refused:
                packing.fail(error)
            return [packing for packing in packings if not packing.is_settled()]
        sent_s = time.monotonic()
        answer = self._expect_answer(packings)
        self.under_way.set()
        try:
            with self._metrics.publish_duration_seconds.time():
                documents = [packing.document() for packing in packings]
                await self._access.insert(self._events.name, documents, at=at)
        except BulkWriteError as error:
            first_error = first_write_error(error)
            # With an error of the write concern nothing is known of what stands before the
            # duplicate either: no majority may have it. Then all of it is looked up.
            if first_error.get("code") == DUPLICATE_KEY and not error.details.get(
                "writeConcernErrors"
            ):
                return await self._after_duplicate(packings, first_error, sent_s)
            raise
        else:
            answer.set_result(True)
        finally:
            self.under_way.clear()
            if not answer.done():
                answer.set_result(False)
        await self._check_life()
        await self._stored(packings, sent_s)
        return []

    async def _check_life(self) -> None:
        """See that the log is still the one whose epoch publishers are told.

        After each insert, and not before: the connection may be another one since. Where MongoDB
        came back with files that were put back, the numbers that were given stand for other events
        elsewhere; nobody was told of them yet, nor does a tail hand them on before it has looked.

        Raises:
            DatabaseError: that can't be seen now.
        """
        instance = self._access.instance
        if instance == self._checked_at:
            return
        try:
            epoch = await self._marks.check()
        except CollectionProblemError as error:  # a tail makes it anew
            raise AutoReconnect(str(error)) from error
        if epoch != self._epoch:
            self.begin_epoch(epoch)
        self._checked_at = instance

    async def _number(self, packings: list[Packing]) -> None:
        """Give packs the numbers after the heads of their projects."""
        now_s = time.monotonic()
        names = {packing.project_id for packing in packings}
        doubtful = [name for name in names if not self._is_fresh(name, now_s)]
        if doubtful:
            if len(self._last) > MAX_KNOWN_HEADS:
                self._last.clear()
                doubtful = list(names)
            heads = await asyncio.gather(
                *(self._heads.read(name, durable=False) for name in doubtful)
            )
            for name, head in zip(doubtful, heads, strict=True):
                self._last[name] = _Belief(head, now_s)
        following = {name: self._last[name].seq for name in names}
        for packing in packings:
            packing.first = following[packing.project_id] + 1
            following[packing.project_id] += len(packing.items)

    def _is_fresh(self, project_id: str, now_s: float) -> bool:
        belief = self._last.get(project_id)
        return belief is not None and now_s - belief.since_s < self._heads.fresh_s

    async def _after_duplicate(
        self, packings: list[Packing], write_error: dict[str, Any], sent_s: float
    ) -> list[Packing]:
        """What is left to write after an insert stopped at a duplicate key."""
        # An ordered insert ends at its first error: what stands before that is stored, what stands
        # behind it was not tried (MongoDB manual, `insert`, `ordered`).
        index = write_error["index"]
        await self._stored(packings[:index], sent_s)
        stopped, rest = packings[index], packings[index + 1 :]
        # Whichever index it was, what this worker believed of the head is out of date.
        self._last.pop(stopped.project_id, None)
        if "_id" in write_error.get("keyPattern", {}):
            # The pack that was met may be one that is rolled back yet: who is told that it is
            # stored must be told what a majority has.
            return [*await self._settle([stopped]), *rest]
        return [stopped, *rest]

    async def _settle(self, packings: list[Packing]) -> list[Packing]:
        """After an unknown outcome: resolve the packs that are stored, return the others.

        A linearizable read returns only when the primary has had a majority confirm that it is
        still primary, after what was read (MongoDB manual, read concern "linearizable"). So a
        pack that it finds will not be rolled back.
        """
        await self._check_life()
        cursor = self._confirmed.find(
            {"_id": {"$in": [packing.identity for packing in packings]}},
            {"first": 1, "last": 1, "digest": 1},
        ).max_time_ms(5_000)
        found = {document["_id"]: document async for document in cursor}
        left: list[Packing] = []
        for packing in packings:
            if packing.identity in found:
                self._resolve(packing, found[packing.identity])
            else:
                left.append(packing)
        return left

    def _resolve(self, packing: Packing, document: dict[str, Any]) -> None:
        """Tell the publishers of a pack that is in the log already."""
        if packing.digest != document.get("digest"):
            packing.fail(KeyReusedError("This idempotency key was used before, for other content"))
            return
        packing.first = document["first"]
        self._tell(packing, duplicate=packing.digest is not None)

    async def _stored(self, packings: list[Packing], sent_s: float) -> None:
        heads: dict[str, int] = {}
        for packing in packings:
            heads[packing.project_id] = packing.first + len(packing.items) - 1
            self._metrics.events_published_total.inc(len(packing.items))
            self._tell(packing)
        self._fences.stored(packings)
        self._last.update((name, _Belief(head, sent_s)) for name, head in heads.items())
        try:
            await self._heads.wrote(heads, sum(packing.size_bytes for packing in packings))
        except DatabaseError as error:
            _log.warning("heads_not_written", error=str(error))

    def _tell(self, packing: Packing, *, duplicate: bool = False) -> None:
        seq = packing.first
        for publication in packing.publications:
            last = seq + len(publication.items) - 1
            if not publication.done.done():
                publication.done.set_result(Published(self._epoch, seq, last, duplicate))
            seq = last + 1

    @core_errors
    async def head(self, project_id: str, *, newest: bool = False) -> int:
        """See `rtserver.eventlog.api.EventLog.head`."""
        return await self._head_reads((project_id, newest), None)

    async def _read_head(self, which: tuple[str, bool], askers: Sequence[None]) -> list[int]:
        project_id, newest = which
        head = await self._heads.read(project_id, durable=True, newest=newest)
        return [head] * len(askers)

    @core_errors
    async def oldest(self, project_id: str) -> int:
        """See `rtserver.eventlog.api.EventLog.oldest`."""
        return (await self.horizon(project_id)).oldest

    @core_errors
    async def horizon(self, project_id: str) -> Horizon:
        """See `rtserver.eventlog.api.EventLog.horizon`."""
        found = await oldest_stored(self._events, project_id)
        if found is None:
            head = await self._heads.read(project_id, durable=False)
            # Again: what was stored in between is counted in the head already.
            found = await oldest_stored(self._events, project_id) or Horizon(head + 1, None)
        return found

    @core_errors
    async def read(
        self,
        project_id: str,
        *,
        after: int,
        upto: int,
        limit: int,
        limit_bytes: int = READ_BYTES,
    ) -> list[EventPack]:
        """See `rtserver.eventlog.api.EventLog.read`."""
        return await self._reader.read(
            project_id,
            self._epoch,
            after=after,
            upto=upto,
            limit=limit,
            limit_bytes=limit_bytes,
        )

    @core_errors
    async def count(
        self, project_id: str, *, after: int, upto: int, sees: Callable[[Audience], bool]
    ) -> int:
        """See `rtserver.eventlog.api.EventLog.count`."""
        return await self._reader.count((project_id, after, upto), sees)
