"""`publish` and `tail`: the operator's hands on the log."""

import asyncio
import signal
import sys
from typing import Any

from rtserver.app import operator_log
from rtserver.errors import InvalidError
from rtserver.events import EventDraft, viewers_of
from rtserver.positions import Position
from rtserver.settings import Settings

POLL_S = 0.2
READ_EVENTS = 500


async def publish(
    settings: Settings,
    project_id: str,
    type_: str,
    data: object,
    key: str | None,
    proposal_id: str | None,
) -> int:
    """Append one event and print its id.

    Raises:
        OperatorError, StoreUnavailableError, RefusedError: it was not stored.
    """
    fields: dict[str, Any] = {"data": data, "actor": "operator"}
    draft = EventDraft(project_id, type_, fields, proposal_id=proposal_id)
    if proposal_id is not None:
        draft.audience = viewers_of(proposal_id)
    async with operator_log(settings) as log:
        published = await log.publish([draft], key=None if key is None else f"operator:{key}")
    print(published.ids[-1])
    return 0


async def tail(settings: Settings, project_id: str, begin: Position | None) -> int:
    """Print a project's events, one JSON object a line, until SIGINT or SIGTERM.

    Raises:
        OperatorError, StoreUnavailableError: the log cannot be read.
        InvalidError: the position is of another log.
    """
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with operator_log(settings) as log:
        if begin is not None and begin.epoch != log.epoch:
            raise InvalidError("--from: this position is of another log")
        seq = await log.head(project_id) if begin is None else begin.seq
        while not told.is_set():
            head = await log.head(project_id)
            while seq < head:
                packs = await log.read(project_id, after=seq, upto=head, limit=READ_EVENTS)
                if not packs:
                    break
                for pack in packs:
                    for event in pack.events(after=seq, upto=head):
                        if event.seq > seq + 1:
                            lost = event.seq - seq - 1
                            print(f"rtserver: {lost} events are overwritten", file=sys.stderr)
                        sys.stdout.write(event.payload.decode() + "\n")
                        seq = event.seq
                sys.stdout.flush()
            try:
                async with asyncio.timeout(POLL_S):
                    await told.wait()
            except TimeoutError:
                continue
    return 0
