"""The same without `async`, for scripts and notebooks: an event loop in a thread does the work."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from rtserver_client.client import Client
from rtserver_client.frames import Proposal, Run, StoredEvent
from rtserver_client.gap import Gap
from rtserver_client.positions import PositionStore
from rtserver_client.project import Project, ProposalHandle
from rtserver_client.tokens import TokenSource

Result = TypeVar("Result")


class BlockingClient:
    """See `rtserver_client.Client`; calls return when they are done.

    ```python
    with BlockingClient("https://rt.example.com", token) as client:
        client.project("demo").publish("build.finished", {"ok": True})
    ```
    """

    def __init__(self, base_url: str, token: TokenSource) -> None:
        self._client = Client(base_url, token)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="rtserver-client", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.run(self._client.__aexit__(kind, error, traceback))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What a call of the asynchronous client gives; for those that have no method here."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in a notebook ends the work too
            raise

    def each(self, items: AsyncGenerator[Result, None]) -> Iterator[Result]:
        """What an asynchronous iterator gives, one after the other."""

        async def following() -> Result:
            return await anext(items)

        try:
            while True:
                try:
                    yield self.run(following())
                except StopAsyncIteration:
                    return
        finally:
            self.run(items.aclose())

    def project(
        self, project_id: str, *, positions: PositionStore | None = None
    ) -> "BlockingProject":
        """See `Client.project`."""
        return BlockingProject(self, self._client.project(project_id, positions=positions))


class BlockingProject:
    """See `rtserver_client.Project`, whose methods take the same and say the same.

    Attributes:
        asynchronous: what does the work.
    """

    def __init__(self, client: BlockingClient, project: Project) -> None:
        self._client = client
        self.asynchronous = project

    def events(
        self, *, proposals: Sequence[str] = (), positions: PositionStore | None = None
    ) -> Iterator[StoredEvent | Gap]:
        """See `Project.events`. The connection ends with the iterator."""
        return self._client.each(self.asynchronous.events(proposals=proposals, positions=positions))

    def snapshot(self) -> dict[str, Any]:
        """See `Project.snapshot`."""
        return self._client.run(self.asynchronous.snapshot())

    def history(self, *, after: str | None = None) -> Iterator[StoredEvent | Gap]:
        """See `Project.history`."""
        return self._client.each(self.asynchronous.history(after=after))

    def publish(self, type_: str, data: Mapping[str, Any], **more: Any) -> str:
        """See `Project.publish`."""
        return self._client.run(self.asynchronous.publish(type_, data, **more))

    def wait(self, proposal: str, **condition: Any) -> Proposal:
        """See `Project.wait`."""
        return self._client.run(self.asynchronous.wait(proposal, **condition))

    def wait_for_run(self, run: Run, *, timeout_s: float | None = None) -> Run:
        """See `Project.wait_for_run`."""
        return self._client.run(self.asynchronous.wait_for_run(run, timeout_s=timeout_s))

    def proposal(self, proposal_id: str) -> ProposalHandle:
        """What can be done with a proposal: `client.run(project.proposal("p").comment("Why?"))`."""
        return self.asynchronous.proposal(proposal_id)
