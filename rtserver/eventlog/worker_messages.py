"""Messages between workers. They travel through the log, in a separate sequence.

{"op": "close", "worker_id": W, "connection_id": C, "code": N, "reason": R?}
{"op": "cancel", "worker_id": W, "run_id": R}
{"op": "hello", "worker_id": W}    a worker started; it also keeps the log from being empty
{"op": "epoch", "log": C, "epoch": E, "from": W}    the log in collection C has another epoch
{"op": "presence" | "bye", "from": W, ...}    to all others, see presence_fleet.py
"""

from collections.abc import Awaitable, Callable
from typing import Any

from rtserver.eventlog.api import EventLog
from rtserver.model.audience import WORKERS
from rtserver.model.events import CONTROL_PROJECT, EventDraft, EventType, StoredEvent

MessageHandler = Callable[[dict[str, Any]], Awaitable[None]]


class Control:
    """Sends messages to other workers, and acts on those for this one."""

    def __init__(self, log: EventLog, *, worker_id: str) -> None:
        self._log = log
        self._worker_id = worker_id
        self._operations: dict[str, MessageHandler] = {}
        self._heard: dict[str, MessageHandler] = {}

    def handle(self, op: str, operation: MessageHandler) -> None:
        """What to do when a message of this kind comes for this worker."""
        self._operations[op] = operation

    def hear(self, op: str, operation: MessageHandler) -> None:
        """What to do when a message of this kind comes from another worker, to whomever."""
        self._heard[op] = operation

    async def send(self, op: str, worker_id: str, **fields: Any) -> None:
        """Tell a worker something; returns when the message is durable.

        Raises:
            LogBusyError, LogUnavailableError: see `EventLog.publish`.
        """
        await self._publish({"op": op, "worker_id": worker_id, **fields})

    async def hello(self) -> None:
        """Tell all workers that this one is here, which also keeps the log from being empty.

        Raises:
            LogBusyError, LogUnavailableError: see `EventLog.publish`.
        """
        await self.send("hello", self._worker_id)

    async def tell_all(self, op: str, **fields: Any) -> None:
        """Tell all other workers something; returns when the message is durable.

        Raises:
            LogBusyError, LogUnavailableError: see `EventLog.publish`.
        """
        await self._publish({"op": op, "from": self._worker_id, **fields})

    async def _publish(self, message: dict[str, Any]) -> None:
        draft = EventDraft(CONTROL_PROJECT, EventType.CONTROL, message, audience=WORKERS)
        await self._log.publish([draft])

    async def on_event(self, event: StoredEvent) -> None:
        """Act on a message if it is for this worker."""
        message = event.frame()
        op = message.get("op", "")
        operation = self._operations.get(op)
        if operation is not None and message.get("worker_id") == self._worker_id:
            await operation(message)
        heard = self._heard.get(op)
        if heard is not None and sender_of(message) != self._worker_id:
            await heard(message)


def sender_of(message: dict[str, Any]) -> str:
    """The worker that a message to all is from."""
    sender: str = message.get("from") or message.get("worker_id", "")
    return sender
