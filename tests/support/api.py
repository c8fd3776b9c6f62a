"""The HTTP interface as a client sees it, on httpx2."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.documents import check_answer
from tests.support.tokens import token as signed_token

TIMEOUT_S = 30.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: each would read all the certificates of the system, in 50 ms."""


class Api:
    """Requests of one user to one worker; see `api`."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        """GET; the JSON of an answer that has to have this status."""
        return _json(await self.http.get(path, **options), status)

    async def post(self, path: str, body: object = None, status: int = 201, **options: Any) -> Any:
        """POST; the JSON of an answer that has to have this status."""
        return _json(await self.http.post(path, json=body, **options), status)

    async def patch(self, path: str, body: object, status: int = 200, **options: Any) -> Any:
        """PATCH; the JSON of an answer that has to have this status."""
        return _json(await self.http.patch(path, json=body, **options), status)

    async def put(self, path: str, body: object = None, status: int = 200, **options: Any) -> Any:
        """PUT; the JSON of an answer that has to have this status."""
        return _json(await self.http.put(path, json=body, **options), status)

    async def delete(self, path: str, status: int = 202, **options: Any) -> Any:
        """DELETE; the JSON of an answer that has to have this status."""
        return _json(await self.http.delete(path, **options), status)

    async def publish(self, project_id: str, data: object = None, **fields: Any) -> str:
        """Publish an event as a service; its id."""
        body = {"type": "test.event", "data": data, **fields}
        answer = await self.post(f"/api/v1/projects/{project_id}/events", body)
        return str(answer["id"])

    async def publish_many(self, project_id: str, count: int, **fields: Any) -> list[str]:
        """Publish a batch of at most 500 events, `data` counting from 0; their ids."""
        events = [{"type": "test.event", "data": number, **fields} for number in range(count)]
        answer = await self.post(f"/api/v1/projects/{project_id}/events", {"events": events})
        return [str(event_id) for event_id in answer["ids"]]

    async def propose(self, project_id: str, proposal_id: str, **fields: Any) -> None:
        """Make a proposal."""
        body = {"id": proposal_id, "title": proposal_id, **fields}
        await self.post(f"/api/v1/projects/{project_id}/proposals", body)

    async def approve(self, proposal_id: str) -> None:
        """Approve the newest revision of a proposal, as one of its reviewers."""
        shown = await self.get(f"/api/v1/proposals/{proposal_id}/revisions?limit=1")
        verdict = {"verdict": "approve", "revision": shown["revisions"][0]["number"]}
        await self.post(f"/api/v1/proposals/{proposal_id}/reviews", verdict)

    async def run_ended(self, run_id: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """A run once it is over."""
        async with asyncio.timeout(timeout_s):
            while True:
                run: dict[str, Any] = await self.get(f"/api/v1/runs/{run_id}")
                if run["state"] not in ("queued", "running"):
                    return run
                await asyncio.sleep(0.02)


async def _checked(response: httpx2.Response) -> None:
    request = response.request
    body = await response.aread()
    check_answer(request.method, request.url.path, response.status_code, response.headers, body)


def _json(response: httpx2.Response, status: int) -> Any:
    if response.status_code != status:
        raise AssertionError(
            f"{response.request.method} {response.request.url}: expected {status}, "
            f"got {response.status_code} {response.text[:2000]}"
        )
    return response.json() if response.content else None


@asynccontextmanager
async def api(
    address: str, user: str = "svc", roles: tuple[str, ...] = ("service",), *, token: str = ""
) -> AsyncIterator[Api]:
    """Requests to a worker, as a service for every project unless told otherwise."""
    signed = token or signed_token(user, roles=roles)
    async with httpx2.AsyncClient(
        base_url=f"http://{address}",
        headers={"Authorization": f"Bearer {signed}"},
        timeout=TIMEOUT_S,
        trust_env=False,
        verify=NO_TLS,
        event_hooks={"response": [_checked]},
    ) as http:
        yield Api(http)
