"""`tail`: the command that prints and follows a project's log."""

import asyncio
import sys

from rtserver.app.operator.logs import operator_log
from rtserver.cli.signals import stop_signals
from rtserver.config.settings import Settings
from rtserver.eventlog.history import EVERYTHING, EventFilter
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import InvalidError
from rtserver.model.events import EventPack
from rtserver.model.positions import Position
from rtserver.model.texts import printable_json

POLL_S = 0.2
READ_EVENTS = 500


async def tail(
    settings: Settings,
    project_id: str,
    begin: Position | None,
    wanted: EventFilter = EVERYTHING,
    *,
    follow: bool = True,
) -> int:
    """Print a project's events, one JSON object a line, whoever they are for.

    Args:
        settings: of the server.
        project_id: whose events.
        begin: after which event; None begins with the next one, or where `follow` is false with
            the oldest.
        wanted: which events.
        follow: go on until SIGINT or SIGTERM; else end with the newest event there is.

    Raises:
        OperatorError, StoreUnavailableError: the log cannot be read.
        InvalidError: the position is of another log.
    """
    with stop_signals() as stop:
        await _tail(settings, project_id, begin, wanted, follow, stop)
    return 0


async def _tail(
    settings: Settings,
    project_id: str,
    begin: Position | None,
    wanted: EventFilter,
    follow: bool,
    stop: asyncio.Event,
) -> None:
    async with operator_log(settings) as log:
        if begin is not None and begin.epoch != log.epoch:
            raise InvalidError("--from: this position is of another log")
        if begin is not None:
            seq = begin.seq
        else:
            seq = await log.head(project_id) if follow else await log.oldest(project_id) - 1
        while not stop.is_set():
            head = await log.head(project_id)
            while seq < head and not stop.is_set():
                packs = await log.read(project_id, after=seq, upto=head, limit=READ_EVENTS)
                if not packs:
                    _say_lost(head - seq)
                    seq = head
                for pack in packs:
                    seq = _print(pack, seq, head, wanted)
                sys.stdout.flush()
            if not follow:
                break
            await is_set_within(stop, POLL_S)


def _print(pack: EventPack, seq: int, head: int, wanted: EventFilter) -> int:
    """Print what is wanted of a pack; how far that goes."""
    if pack.first > seq + 1:
        _say_lost(pack.first - seq - 1)
    for event in wanted.of_pack(pack, after=seq, upto=head):
        sys.stdout.write(printable_json(event.payload.decode()) + "\n")
    return max(seq, min(pack.last, head))


def _say_lost(count: int) -> None:
    print(f"rtserver: {count} events are overwritten", file=sys.stderr)
