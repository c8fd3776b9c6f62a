"""A project, as a program takes part in it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

from rtserver_client.api import Api, Json, new_key
from rtserver_client.frames import (
    Comment,
    Proposal,
    Review,
    Revision,
    Run,
    StoredEvent,
    Verdict,
)
from rtserver_client.gap import Gap
from rtserver_client.positions import MemoryPositions, PositionStore
from rtserver_client.reader import Reader
from rtserver_client.tokens import Tokens

State = TypeVar("State")
LOOK_S = 30.0
"""A wait looks by itself so often: not all that changes a state is told to everybody."""
PAGE_EVENTS = 1000
ENDED = ("passed", "failed", "completed", "error", "cancelled")


class Project:
    """A project of the server, which has one for each id that a token names.

    Attributes:
        project_id: its id.
    """

    def __init__(
        self, base_url: str, api: Api, tokens: Tokens, project_id: str, positions: PositionStore
    ) -> None:
        self.project_id = project_id
        self._base_url = base_url
        self._api = api
        self._tokens = tokens
        self._positions = positions
        self._path = f"/api/v1/projects/{quote(project_id, safe='')}"

    def events(
        self, *, proposals: Sequence[str] = (), positions: PositionStore | None = None
    ) -> AsyncGenerator[StoredEvent | Gap, None]:
        """Events as they happen, without end, from the position that was kept.

        Without one it begins with what comes next. Where missed events are gone a `Gap` stands
        for them: fetch the state anew (`snapshot`). Close it (`contextlib.aclosing`) when you
        leave the loop early.

        Args:
            proposals: only what concerns these, or the project as a whole.
            positions: where the position is kept; the project's store unless given.

        Raises:
            StoppedError: the server does not want this client back; see `docs/protocol.md`.
        """
        return self._reader(proposals, positions or self._positions).events()

    def _reader(self, proposals: Sequence[str], positions: PositionStore) -> Reader:
        return Reader(self._base_url, self.project_id, proposals, self._tokens, positions)

    async def snapshot(self) -> Json:
        """The project as it is, with the `position` that it is at least as new as."""
        return await self._api.call("GET", self._path)

    async def publish(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        proposal_id: str | None = None,
        audience: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> str:
        """Publish an event (role service); its id once it is durable.

        It is stored once, however often the request had to be made.

        Args:
            type_: of your own, with a dot in it, such as `build.finished`.
            data: what it says.
            proposal_id: the proposal that it concerns.
            audience: for whom it is; everybody in the project unless given.
            key: an idempotency key of your own, so that a program that was killed can publish
                again without doubling anything.
        """
        body: Json = {"type": type_, "data": dict(data)}
        if proposal_id is not None:
            body["proposal_id"] = proposal_id
        if audience is not None:
            body["audience"] = dict(audience)
        answer = await self._api.call("POST", f"{self._path}/events", body, key=key or new_key())
        return str(answer["id"])

    async def history(self, *, after: str | None = None) -> AsyncGenerator[StoredEvent | Gap, None]:
        """Events that are stored, the oldest first, up to the newest; a `Gap` for what is gone.

        Args:
            after: begin after this event; with the oldest that is left unless given.
        """
        more = True
        while more:
            query: dict[str, str | int] = {"limit": PAGE_EVENTS} | (
                {"after": after} if after else {}
            )
            page = await self._api.call("GET", f"{self._path}/events", query=query)
            if page["lost"] and after is not None:
                yield Gap(after, None, page["lost"], self._path)
            for event in page["events"]:
                yield cast(StoredEvent, event)
            after, more = page["position"], page["more"]

    def proposal(self, proposal_id: str) -> "ProposalHandle":
        """What can be done with a proposal; it is not asked for yet."""
        return ProposalHandle(self._api, proposal_id)

    async def wait(
        self,
        proposal: str,
        *,
        status: str | None = None,
        until: Callable[[Proposal], bool] | None = None,
        timeout_s: float | None = None,
    ) -> Proposal:
        """Wait until a proposal is as it should be, without polling; the proposal as it is then.

        Args:
            proposal: its id.
            status: the status that it should have.
            until: or any condition on it.
            timeout_s: how long to wait at most.

        Raises:
            TimeoutError: it was not by then.
        """

        def is_it(found: Proposal) -> bool:
            return (status is None or found["status"] == status) and (until is None or until(found))

        return await self._state(self.proposal(proposal).get, is_it, proposal, timeout_s)

    async def wait_for_run(
        self, run: Run | Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Run:
        """Wait until a run has ended; the run as it is then. Raises `TimeoutError` as `wait`."""
        path = f"/api/v1/runs/{quote(run['run_id'], safe='')}"

        async def read() -> Run:
            return cast(Run, await self._api.call("GET", path))

        return await self._state(
            read, lambda found: found["state"] in ENDED, run["proposal_id"], timeout_s
        )

    async def _state(
        self,
        read: Callable[[], Awaitable[State]],
        is_it: Callable[[State], bool],
        proposal_id: str,
        timeout_s: float | None,
    ) -> State:
        """Read a state, and again whenever something of the proposal has changed, until it fits."""
        reader = self._reader([proposal_id], MemoryPositions())
        async with asyncio.timeout(timeout_s), contextlib.aclosing(reader.events()) as events:
            # What happens after the first look is heard: the look comes when the reader is live.
            following = asyncio.ensure_future(anext(events))
            try:
                live = asyncio.ensure_future(reader.live.wait())
                await asyncio.wait({following, live}, return_when=asyncio.FIRST_COMPLETED)
                live.cancel()
                while not is_it(found := await read()):
                    await asyncio.wait({following}, timeout=LOOK_S)
                    if following.done():
                        following.result()
                        following = asyncio.ensure_future(anext(events))
                return found
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


class ProposalHandle:
    """What a program does with one proposal.

    Attributes:
        proposal_id: its id.
    """

    def __init__(self, api: Api, proposal_id: str) -> None:
        self.proposal_id = proposal_id
        self._api = api
        self._path = f"/api/v1/proposals/{quote(proposal_id, safe='')}"

    async def get(self) -> Proposal:
        """The proposal with its revision, reviews and approvals."""
        return cast(Proposal, await self._api.call("GET", self._path))

    async def set_status(self, status: str) -> Proposal:
        """Move it on, or back."""
        return cast(Proposal, await self._api.call("PATCH", self._path, {"status": status}))

    async def file(self, path: str, *, revision: int | None = None) -> bytes:
        """A file of a revision; of the newest unless one is named."""
        number = "current" if revision is None else revision
        return await self._api.content(f"{self._path}/revisions/{number}/files/{quote(path)}")

    async def upload(
        self, base: int, files: Mapping[str, str | None], *, note: str | None = None
    ) -> Revision:
        """Make a revision: whole texts by path, None removes a file. All of it or nothing.

        Args:
            base: the revision that the texts were made from.
            files: by path.
            note: what was changed and why.

        Raises:
            ApiError: 409 with reason `conflict` where a file named has changed since.
        """
        body: Json = {"base": base, "files": dict(files)} | ({"note": note} if note else {})
        return cast(Revision, await self._api.call("POST", f"{self._path}/revisions", body))

    async def review(self, verdict: Verdict, *, revision: int, text: str | None = None) -> Review:
        """Say what you think of a revision.

        Raises:
            ApiError: 409 with reason `stale_revision` where it is not the newest any more.
        """
        body: Json = {"verdict": verdict, "revision": revision} | ({"text": text} if text else {})
        return cast(Review, await self._api.call("POST", f"{self._path}/reviews", body))

    async def comment(
        self, text: str, *, anchor: Mapping[str, Any] | None = None, reply_to: str | None = None
    ) -> Comment:
        """Say something, of a place in the text (`anchor`), or in answer to another comment."""
        body: Json = {"text": text}
        if anchor is not None:
            body["anchor"] = dict(anchor)
        if reply_to is not None:
            body["reply_to"] = reply_to
        return cast(Comment, await self._api.call("POST", f"{self._path}/comments", body))

    async def validate(self) -> Run:
        """Start a validation; `Project.wait_for_run` waits for its end."""
        return cast(Run, await self._api.call("POST", f"{self._path}/validations", {}))

    async def iterate(self, instruction: str) -> Run:
        """Have the model revise the text; `Project.wait_for_run` waits for the end."""
        body = {"instruction": instruction}
        return cast(Run, await self._api.call("POST", f"{self._path}/iterations", body))
