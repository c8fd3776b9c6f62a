"""Refusals of strangers, joined: what somebody does without a valid token.

Anybody can be refused a thousand times a second. Were each a record beside those of users,
strangers could push these out of the log. So they have a separate log, and in it the first few
refusals of an address for a reason are a record each, and what follows within a minute is one more,
with a count. How many addresses are told apart in a minute is bounded; the refusals of the others
are counted by reason alone.

Who looks into the log of users sees the first few of an address there too, as they come, as far as
a small share of that log allows.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.auth.client_address import network_of
from rtserver.lib.rate_limit import TokenBucket
from rtserver.model.moments import now_rfc3339

if TYPE_CHECKING:
    from rtserver.audit.record.auditor import Auditor

WINDOW_S = 60.0
MAX_ADDRESSES = 250
"""Addresses and reasons that are told apart at a time: twice as many records a minute at most."""
ALONE = 5
"""Refusals of an address for a reason that are a record each, before they are joined."""

SHARE = 64
"""Of the log of users strangers may write one part in so many, in a day."""
SHARE_BURST = 50
RECORD_BYTES = 1024
"""More than any record of a stranger has."""
DAY_S = 86_400

_OTHERS = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is joined."""

    network: str
    action: Action
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class _Joined:
    """What was not recorded by itself; `details` are those of the first of it.

    Attributes:
        alone: how many were, before it.
    """

    by: Acting
    alone: int = 0
    details: Mapping[str, object] = field(default_factory=dict)
    count: int = 0
    first: str = ""
    last: str = ""


def share_of(log_bytes: int) -> TokenBucket:
    """How many records of strangers the log of users takes.

    Args:
        log_bytes: its size.
    """
    a_day = log_bytes / SHARE / RECORD_BYTES
    return TokenBucket(a_day / DAY_S, SHARE_BURST, time.monotonic())


class Strangers:
    """Takes refusals, and records them in the log of strangers."""

    def __init__(
        self, recorder: "Auditor", share: TokenBucket, *, max_addresses: int = MAX_ADDRESSES
    ) -> None:
        """Make it; `run` writes down what is joined.

        Args:
            recorder: of the log of strangers.
            share: of the log of users, see `share_of`.
            max_addresses: so many addresses and reasons are told apart within a minute.
        """
        self._recorder = recorder
        self._share = share
        self._alone = 0
        self._max_addresses = max_addresses
        self._joined: dict[_Kind, _Joined] = {}

    def refused(
        self,
        action: Action,
        outcome: Outcome,
        by: Acting,
        *,
        target: str | None,
        project_id: str | None,
        details: Mapping[str, object],
    ) -> bool:
        """Somebody without a token was refused. Never waits.

        Args: as of `Auditor.record`.

        Returns:
            Whether it is to be recorded in the log of users too.
        """
        reason = str(details.get("reason") or "")
        kind = _Kind(network_of(by.ip or ""), action, outcome, reason)
        joined = self._joined.get(kind)
        if joined is None and len(self._joined) < self._max_addresses:
            joined = self._joined[kind] = _Joined(Acting(ip=by.ip))
        if joined is not None and joined.alone < ALONE and self._alone < self._max_addresses:
            joined.alone += 1
            self._alone += 1
            alone = Acting(ip=by.ip)
            self._recorder.record(
                action, outcome, target=target, project_id=project_id, by=alone, **details
            )
            return self._share.take(time.monotonic())
        if joined is None:
            # There are only as many of these as there are reasons for refusals.
            kind = _Kind(_OTHERS, action, outcome, reason)
            joined = self._joined.setdefault(kind, _Joined(Acting()))
        now = now_rfc3339()
        if not joined.count:
            joined.first = now
            joined.details = details
        joined.count += 1
        joined.last = now
        return False

    def flush(self) -> None:
        """Record what was joined; who did nothing meanwhile is forgotten."""
        joined, self._joined = self._joined, {}
        self._alone = 0
        for kind, one in joined.items():
            if not one.count:
                continue
            details: dict[str, Any] = {"reason": kind.reason or None}
            if kind.network:
                details = {**one.details}
            details |= {"count": one.count, "first": one.first, "last": one.last}
            self._recorder.record(kind.action, kind.outcome, by=one.by, **details)
            # Who goes on is not news, but is counted on; the others' places are free again.
            if kind.network:
                self._joined[kind] = _Joined(one.by, alone=ALONE)

    async def run(self) -> None:
        """Record what was joined once a minute, until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S)
            self.flush()
