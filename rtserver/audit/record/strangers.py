"""Refusals of strangers, joined: what somebody does without a valid token.

Anybody can be refused a thousand times a second. Were each a record beside those of users,
strangers could push these out of the log. So they have a log of their own, and in it the first
refusal of an address for a reason is a record, and what follows within a minute is one more, with a
count. How many addresses are told apart in a minute is bounded; the refusals of the others are
counted by reason alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.auth.client_address import network_of
from rtserver.model.moments import now_rfc3339

WINDOW_S = 60.0
MAX_ADDRESSES = 250
"""Addresses and reasons that are told apart at a time: twice as many records a minute at most."""

_OTHERS = ""


class Recorder(Protocol):
    """Takes a record; see `rtserver.audit.record.auditor.Auditor.record`."""

    def record(
        self,
        action: Action,
        outcome: Outcome = Outcome.ALLOWED,
        *,
        target: str | None = None,
        project_id: str | None = None,
        by: Acting | None = None,
        **details: object,
    ) -> None:
        """Record an act. Never waits and never fails."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is joined."""

    network: str
    action: Action
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class _Joined:
    """What was not recorded by itself; `details` are those of the first of it."""

    by: Acting
    details: Mapping[str, object] = field(default_factory=dict)
    count: int = 0
    first: str = ""
    last: str = ""


class Strangers:
    """Takes refusals, and records them in the log of strangers."""

    def __init__(self, recorder: Recorder, *, max_addresses: int = MAX_ADDRESSES) -> None:
        """Make it; `run` writes down what is joined.

        Args:
            recorder: of the log of strangers.
            max_addresses: so many addresses and reasons are told apart within a minute.
        """
        self._recorder = recorder
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
    ) -> None:
        """Somebody without a token was refused. Never waits.

        Args: as of `Auditor.record`.
        """
        reason = str(details.get("reason") or "")
        kind = _Kind(network_of(by.ip or ""), action, outcome, reason)
        joined = self._joined.get(kind)
        if joined is None and len(self._joined) < self._max_addresses:
            self._joined[kind] = _Joined(Acting(ip=by.ip))
            alone = Acting(ip=by.ip)
            self._recorder.record(
                action, outcome, target=target, project_id=project_id, by=alone, **details
            )
            return
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

    def flush(self) -> None:
        """Record what was joined; who did nothing meanwhile is forgotten."""
        joined, self._joined = self._joined, {}
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
                self._joined[kind] = _Joined(one.by)

    async def run(self) -> None:
        """Record what was joined once a minute, until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S)
            self.flush()
