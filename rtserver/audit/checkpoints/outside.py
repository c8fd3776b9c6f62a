"""Places outside: where signed checkpoints go that nobody who tampers with the log can reach.

Of each tree only the newest checkpoint counts, so that is all that waits for a place which does not
take it. Nothing here holds up the recording or the signing.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog
from tornado.httpclient import HTTPError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from rtserver.audit.checkpoints.metrics import CheckpointMetrics
from rtserver.lib.backoff import Backoff
from rtserver.lib.tasks import TaskOwner

FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
PLACE_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
SUFFIX = ".note"

_log = structlog.get_logger()


class NotPlacedError(Exception):
    """A place did not take a checkpoint; the message says why, and quotes no address."""


class Place(Protocol):
    """Somewhere outside.

    Attributes:
        name: one of `rtserver.audit.checkpoints.metrics.PLACES`.
    """

    name: str

    async def put(self, tree: str, note: str) -> None:
        """Put a checkpoint there, in the place of the one before of that tree.

        Raises:
            NotPlacedError: it is not there.
        """

    def close(self) -> None:
        """Let go of it."""


class DirectoryPlace:
    """A directory: a file for each tree, with its newest checkpoint."""

    name = "directory"

    def __init__(self, path: Path, *, timeout_s: float = PLACE_TIMEOUT_S) -> None:
        """Make it.

        Args:
            path: the directory; it is made where it is not there.
            timeout_s: how long one that is on a network may take. A write can't be given up, so
                meanwhile there is no other.
        """
        self._path = path
        self._timeout_s = timeout_s
        self._write: asyncio.Future[None] | None = None

    async def put(self, tree: str, note: str) -> None:
        """See `Place.put`."""
        if self._write is None or self._write.done():
            loop = asyncio.get_running_loop()
            self._write = loop.run_in_executor(None, self._write_file, tree, note)
            # Retrieved, though nobody may wait for it any more.
            self._write.add_done_callback(lambda write: write.cancelled() or write.exception())
        else:
            raise NotPlacedError("it does not answer")
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(self._write)
        except TimeoutError as error:
            raise NotPlacedError("it does not answer in time") from error
        except OSError as error:
            raise NotPlacedError(error.strerror or type(error).__name__) from error

    def _write_file(self, tree: str, note: str) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        path = self._path / f"{tree.replace('/', '_')}{SUFFIX}"
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def close(self) -> None:
        """See `Place.close`."""


def try_directory(path: Path) -> str | None:
    """What keeps checkpoints from being put into a directory; None where nothing does."""
    tried = path / f".tried-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        tried.touch()
        tried.unlink()
    except OSError as error:
        return f"checkpoints can't be kept in {path} ({error.strerror})"
    return None


class WitnessPlace:
    """An HTTP server that is sent each checkpoint: a POST with the note as plain text."""

    name = "witness"

    def __init__(self, url: str, *, timeout_s: float = PLACE_TIMEOUT_S) -> None:
        """Make it.

        Args:
            url: where to. It is never logged: its query may be secret.
            timeout_s: how long a request may take.
        """
        self._url = url
        self._timeout_s = timeout_s
        self._client: SimpleAsyncHTTPClient | None = None

    async def put(self, tree: str, note: str) -> None:
        """See `Place.put`."""
        if self._client is None:  # here, because a client belongs to the loop that is running
            self._client = SimpleAsyncHTTPClient(
                force_instance=True, max_clients=1, max_body_size=MAX_ANSWER_BYTES
            )
        request = HTTPRequest(
            self._url,
            method="POST",
            headers={"Content-Type": "text/plain; charset=utf-8", "X-Tree": tree},
            body=note,
            connect_timeout=self._timeout_s,
            request_timeout=self._timeout_s,
            follow_redirects=False,
            decompress_response=False,
        )
        try:
            response = await self._client.fetch(request, raise_error=False)
        except (HTTPError, OSError) as error:
            raise NotPlacedError(type(error).__name__) from error
        if not 200 <= response.code < 300:
            raise NotPlacedError(f"the answer has HTTP status {response.code}")

    def close(self) -> None:
        """See `Place.close`."""
        if self._client is not None:
            self._client.close()


class Feed:
    """Brings the newest checkpoints to one place, in a separate task."""

    def __init__(self, place: Place, metrics: CheckpointMetrics) -> None:
        """Make it; `start` begins.

        Args:
            place: where to.
            metrics: counts what does not get there.
        """
        self._place = place
        self._metrics = metrics
        self._waiting: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._failed = False

    def start(self, tasks: TaskOwner) -> None:
        """Begin."""
        tasks.start(self._run(), name=f"audit-checkpoints-{self._place.name}")

    def put(self, notes: Mapping[str, str]) -> None:
        """Let these go there; of each tree only the newest. Never waits."""
        self._waiting.update(notes)
        if self._waiting:
            self._done.clear()
            self._wake.set()

    async def drain(self) -> None:
        """Return when all is there. No time-out here."""
        await self._done.wait()

    def close(self) -> None:
        """Let go of the place, once the task has ended."""
        self._place.close()

    async def _run(self) -> None:
        backoff = Backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        while True:
            await self._wake.wait()
            try:
                await self._put_all()
            except NotPlacedError as error:
                self._tell_failed(str(error))
                await backoff.wait()
                continue
            except Exception as error:  # noqa: BLE001 - it must not be given up for a fault of ours
                _log.exception("audit_checkpoint_place_fails", place=self._place.name)
                self._tell_failed(type(error).__name__)
                await backoff.wait()
                continue
            self._tell_works()
            backoff.reset()

    async def _put_all(self) -> None:
        while self._waiting:
            tree, note = next(iter(self._waiting.items()))
            await self._place.put(tree, note)
            if self._waiting[tree] == note:  # else there is a newer one by now
                del self._waiting[tree]
        self._wake.clear()
        self._done.set()

    def _tell_failed(self, reason: str) -> None:
        self._metrics.not_placed_total.labels(self._place.name).inc()
        self._metrics.places_up.labels(self._place.name).set(0)
        if not self._failed:
            self._failed = True
            _log.error("audit_checkpoint_not_placed", place=self._place.name, reason=reason)

    def _tell_works(self) -> None:
        self._metrics.places_up.labels(self._place.name).set(1)
        if self._failed:
            self._failed = False
            _log.info("audit_checkpoint_place_works_again", place=self._place.name)


class Outside:
    """All places that are set; none is fine too."""

    def __init__(self, places: list[Place], metrics: CheckpointMetrics) -> None:
        """Make it; `start` begins.

        Args:
            places: where to.
            metrics: counts what does not get there.
        """
        self._feeds = [Feed(place, metrics) for place in places]

    def start(self, tasks: TaskOwner) -> None:
        """Begin."""
        for feed in self._feeds:
            feed.start(tasks)

    def put(self, notes: Mapping[str, str]) -> None:
        """Let these go to each place. Never waits."""
        for feed in self._feeds:
            feed.put(notes)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all is there, but no longer than that; whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for feed in self._feeds:
                    await feed.drain()
                return True
        return False

    def close(self) -> None:
        """Let go of the places, once the tasks have ended."""
        for feed in self._feeds:
            feed.close()
