"""`tail --url`: follows a project over the network, as any client does, with the Python client."""

import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtserver.cli.signals import done_unless_stopped, stop_signals
from rtserver.eventlog.history import EventFilter
from rtserver.model.errors import OperatorError
from rtserver.model.texts import printable_json

if TYPE_CHECKING:
    from rtserver_client import Project

NOT_INSTALLED = "tail --url needs the Python client: pip install rtserver-client"


@dataclass(frozen=True, slots=True)
class RemoteProject:
    """A project of a server that is reached over the network.

    Attributes:
        url: of the server.
        token: a JWT that names the project.
        project_id: which.
    """

    url: str
    token: str
    project_id: str


async def tail_url(
    remote: RemoteProject, begin: str | None, wanted: EventFilter, *, follow: bool
) -> int:
    """Print a project's events, one JSON object a line, as far as the token may see them.

    Args:
        remote: whose events.
        begin: after which event; None begins with the next one, or where `follow` is false with
            the oldest.
        wanted: which events.
        follow: go on until SIGINT or SIGTERM; else end with the newest event there is.

    Raises:
        OperatorError: the client is not installed, the token is missing, or the server refused.
    """
    if not remote.token:
        raise OperatorError("tail --url needs a token: set RTSERVER_TOKEN (see docs/tokens.md)")
    try:
        # Not a part of what a server needs.
        from rtserver_client import Client, MemoryPositions, RtserverError  # noqa: PLC0415
    except ImportError as error:
        raise OperatorError(NOT_INSTALLED) from error
    try:
        async with Client(remote.url, remote.token) as client:
            project = client.project(remote.project_id, positions=MemoryPositions(begin))
            with stop_signals() as stop:
                printing = _print_all(project, begin, wanted, follow=follow)
                await done_unless_stopped(printing, stop)
    except (RtserverError, ValueError) as error:
        raise OperatorError(f"{remote.url}: {error}") from error
    return 0


async def _print_all(
    project: "Project", begin: str | None, wanted: EventFilter, *, follow: bool
) -> None:
    from rtserver_client import Gap  # noqa: PLC0415 - as above

    events = project.events() if follow else project.history(after=begin)
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Gap):
                lost = "an unknown number of" if event.lost is None else event.lost
                print(f"rtserver: {lost} events are overwritten", file=sys.stderr)
                continue
            found: dict[str, Any] = {**event}
            if wanted.wants(event["type"], found.get("proposal_id")):
                sys.stdout.write(printable_json(json.dumps(event, ensure_ascii=False)) + "\n")
                sys.stdout.flush()
