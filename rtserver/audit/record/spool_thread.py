"""The spool thread: writes queued audit records to disk in time, however busy the event loop is.

A worker that is killed loses what was in memory alone, so how long a record may be there must not
depend on when the event loop comes round to it. A separate thread takes what is queued when the
oldest of it is due, and does whatever else touches the spool's files, one after the other.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from rtserver.audit.record.spool import Batch, Spool

MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 192 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """What came to disk.

    Attributes:
        size_bytes: how much.
        total_bytes: all that ever did, as the spool counts it.
        queued_s: how long the oldest of it was in memory alone.
    """

    size_bytes: int
    total_bytes: int
    queued_s: float


class SpoolThread:
    """The thread, and the queue that it empties.

    `retry` and `skip` are called by way of `work`; all others on the event loop.
    """

    def __init__(self, spool: Spool, chain: str, *, gather_s: float) -> None:
        """Make it; `start` starts the thread.

        Args:
            spool: where to.
            chain: the chain whose records these are.
            gather_s: how long a record waits for others to share its batch.
        """
        self._spool = spool
        self._chain = chain
        self._gather_s = gather_s
        self._queue: deque[str] = deque()
        self._queued_from = 1
        self._in_hand: Batch | None = None
        self._asked = False
        self._asked_s = 0.0
        self._inbox: SimpleQueue[float | Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._closed = False
        self._tell: Callable[[Kept | Exception], None] = lambda _: None

    @property
    def in_hand(self) -> Batch | None:
        """A batch that the disk did not take; None where there is none."""
        return self._in_hand

    def start(self, on_news: Callable[[Kept | Exception], None]) -> None:
        """Begin.

        Args:
            on_news: is told on the event loop of what came to disk, or why that did not work. Then
                nothing is tried until `retry` or `skip`.
        """
        loop = asyncio.get_running_loop()

        def tell(news: Kept | Exception) -> None:
            loop.call_soon_threadsafe(on_news, news)

        self._tell = tell
        self._thread = Thread(target=self._run, name="audit-spool", daemon=True)
        self._thread.start()

    def put(self, record: str) -> None:
        """Queue a record. Never waits."""
        self._queue.append(record)
        if not self._asked:
            self._asked = True
            self._inbox.put(time.monotonic())

    def stop_batching(self) -> None:
        """Bring each record to disk at once from here on; used at shutdown."""
        self._gather_s = 0.0
        self._inbox.put(time.monotonic())

    def flush_now(self, timeout_s: float) -> bool:
        """Bring what is queued to disk at once. Blocks for as long, and no longer than this.

        Returns:
            Whether nothing is in memory alone any more.
        """
        if self._has_some() and not self._closed:
            done: Future[None] = Future()
            self._inbox.put(partial(_fulfil, done, self._flush, ()))
            with contextlib.suppress(TimeoutError):  # the disk is slow; it goes on all the same
                done.result(timeout_s)
        return not self._has_some()

    def _has_some(self) -> bool:
        return bool(self._queue) or self._in_hand is not None

    async def work(self, job: Callable[..., T], *arguments: object) -> T:
        """Do something else that touches the spool's files; what it returns or raises."""
        if self._closed:
            raise RuntimeError("the spool is closed")
        future: Future[T] = Future()
        self._inbox.put(partial(_fulfil, future, job, arguments))
        return await asyncio.wrap_future(future)

    def work_later(self, job: Callable[[], object]) -> None:
        """Do something else that touches files, after all that was asked for; nobody waits."""
        self._inbox.put(partial(_fulfil, Future(), job, ()))

    def close(self) -> list[Batch]:
        """End the thread, once what was asked of it is done. Blocks for as long.

        Returns:
            What is queued and not on disk; it is the caller's from here on.
        """
        self._closed = True
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
        left = [] if self._in_hand is None else [self._in_hand]
        while self._queue:
            left.append(self._take(len(self._queue)))
        return left

    # On the thread

    def _run(self) -> None:
        due_s: float | None = None
        while True:
            wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
            try:
                job = self._inbox.get(timeout=wait_s)
            except Empty:
                due_s = None
                self._flush()
                continue
            if job is None:
                return
            if isinstance(job, float):
                self._asked_s = job
                due_s = job + self._gather_s
            else:
                job()

    def _flush(self) -> None:
        self._asked = False  # before looking: what comes from here on asks again
        if self._in_hand is not None:
            return
        count = len(self._queue)
        size_bytes = 0
        problem: Exception | None = None
        try:
            while count > 0:
                self._in_hand = batch = self._take(count)
                self._spool.append(batch)
                self._in_hand = None
                count -= len(batch.records)
                size_bytes += batch.size_bytes
        except Exception as error:  # noqa: BLE001  (whatever it was, the loop has to know)
            problem = error
        if size_bytes:
            self._tell_of(size_bytes)
        if problem is not None:
            self._tell(problem)

    def _take(self, count: int) -> Batch:
        records: list[str] = []
        size_bytes = 0
        while len(records) < min(count, MAX_BATCH_RECORDS) and size_bytes < MAX_BATCH_BYTES:
            records.append(self._queue.popleft())
            size_bytes += len(records[-1])
        key = f"audit:{self._chain}:{self._queued_from}"
        self._queued_from += len(records)
        return Batch(key, records)

    def retry(self) -> None:
        """Try once more what the disk did not take, and go on.

        Raises:
            OSError: it still does not.
        """
        batch = self._in_hand
        if batch is not None:
            self._spool.append(batch)
            self._in_hand = None
            self._tell_of(batch.size_bytes)
        self._flush()

    def _tell_of(self, size_bytes: int) -> None:
        queued_s = time.monotonic() - self._asked_s
        self._tell(Kept(size_bytes, self._spool.written_bytes, queued_s))

    def skip(self) -> None:
        """Go on without what the disk did not take: it is in the log."""
        self._in_hand = None
        self._flush()


def _fulfil(future: Future[T], job: Callable[..., T], arguments: tuple[object, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job(*arguments)
    except BaseException as error:  # noqa: BLE001  (it is raised where the future is awaited)
        future.set_exception(error)
    else:
        future.set_result(result)
