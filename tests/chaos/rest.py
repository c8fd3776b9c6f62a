"""When all is healed: waits until everything has come to rest, and writes that moment down."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from tests.chaos.clients import Client, Stage
from tests.support.waiting import until

REST_S = 90.0
LOOK_S = 0.5


class Server(Protocol):
    """What is asked of the server; each answer is None where there is none."""

    async def publish_end(self) -> str:
        """Publish one more event; its id."""

    async def connections(self, address: str) -> list[dict[str, Any]] | None:
        """The registry as an admin sees it."""

    async def snapshot(self, address: str) -> dict[str, Any] | None:
        """The project as a member sees it."""

    def unfinished(self, snapshot: dict[str, Any], head: str) -> list[str]:
        """What has to come about yet, by a snapshot and the newest event."""


async def settle(
    stage: Stage, clients: Sequence[Client], server: Server, project_id: str, look_s: float = LOOK_S
) -> str:
    """Until all that was under way has ended, and everybody has everything.

    What comes and goes until the last moment (who was refused comes again after a second; a client
    on a busy machine is given up for dead) must not come between two looks: so registry and
    connections are compared, and written down, in one step. What does not come about in time is not
    raised: it is in the history, for the checker to see.

    Args:
        look_s: between two looks.

    Returns:
        The id of the newest event.
    """
    address = stage.cluster.addresses[0]
    head, unrest = "", ""
    listed: list[dict[str, Any]] | None = None
    last: dict[str, Any] = {}

    def whats_missing() -> list[str]:
        """Why it is no rest yet."""
        there = {one.connection_id for one in clients if one.connection_id is not None}
        ids = {one["id"] for one in listed or []}
        away = [one.who.name for one in clients if not one.connection_id and not one.who.restless]
        behind = [
            one.who.name for one in clients if one.connection_id and _seq(one) < _seq_of(head)
        ]
        return [
            *(f"{name} is away" for name in away),
            *(f"{name} is behind {head}" for name in behind),
            *(f"{one} is listed and not there" for one in sorted(ids - there)),
            *(f"{one} is there and not listed" for one in sorted(there - ids)),
        ]

    async def is_at_rest() -> bool:
        nonlocal head, listed
        head = await server.publish_end()
        await asyncio.sleep(look_s)
        snapshot = await server.snapshot(address)
        listed = await server.connections(address)
        # Nothing is awaited from here to the record.
        last["missing"] = missing = whats_missing()
        last["snapshot"] = snapshot and {one: snapshot[one] for one in ("active_runs", "lock")}
        if snapshot is None or listed is None:
            return False
        missing += server.unfinished(snapshot, head)
        # Who left is seen for two seconds, so that a page that is reloaded is not told at all.
        is_over = not snapshot["active_runs"] and snapshot["lock"] is None
        return not missing and is_over and _all_see(clients)

    try:
        await until(is_at_rest, "rest", REST_S)
    except AssertionError as error:
        unrest = f"{error}: {last}"
    stage.quiet = True
    stage.history.add("rest", heads={project_id: head}, unrest=unrest)
    stage.history.add("listed", project_id=project_id, connections=listed or [], at_rest=True)
    return head


def _seq_of(event_id: str) -> int:
    return int(event_id.rpartition("-")[2])


def _seq(client: Client) -> int:
    return _seq_of(client.position or "-0")


def _all_see(clients: Sequence[Client]) -> bool:
    there = sorted({one.who.user for one in clients if one.connection_id is not None})
    return all(one.people.names == there for one in clients if one.connection_id is not None)
