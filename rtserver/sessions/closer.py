"""Reaches connections on whichever worker they are: closes them, says what waits for them."""

from typing import Any

from rtserver.eventlog.worker_messages import Control
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.sessions.table import SessionTable


class ConnectionCloser:
    """Closes this worker's connections, and has other workers close theirs."""

    def __init__(self, table: SessionTable, control: Control, *, worker_id: str) -> None:
        """Make it; from then on it does what other workers ask for.

        Args:
            table: this worker's sessions.
            control: carries messages between workers.
            worker_id: this worker.
        """
        self._table = table
        self._control = control
        self._worker_id = worker_id
        control.handle("close", self._on_message)

    async def evict(self, entry: ConnectionRecord) -> None:
        """Close a connection whose place another of its user took; see `close`."""
        await self.close(entry, CloseCode.REPLACED)

    def turn_away(self, entry: ConnectionRecord) -> None:
        """Close a connection of this worker whose project is full."""
        self._table.close(entry.connection_id, CloseCode.PROJECT_FULL)

    def behind_bytes(self, connection_id: str) -> int | None:
        """What waits for a connection, where it is on this worker; else None."""
        return self._table.behind_bytes(connection_id)

    async def close(
        self, entry: ConnectionRecord, code: CloseCode, reason: str | None = None
    ) -> None:
        """Close a connection; returns when its worker was told.

        Raises:
            BusyError, StoreUnavailableError: its worker could not be told.
        """
        if entry.worker_id == self._worker_id:
            self._table.close(entry.connection_id, code, reason)
        else:
            await self._control.send(
                "close",
                entry.worker_id,
                connection_id=entry.connection_id,
                code=code.value,
                reason=reason,
            )

    async def _on_message(self, message: dict[str, Any]) -> None:
        self._table.close(
            message["connection_id"], CloseCode(message["code"]), message.get("reason")
        )
