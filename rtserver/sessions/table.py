"""The sessions of this worker, by the id of their connection."""

from rtserver.model.close_codes import CloseCode
from rtserver.sessions.session import Session


class SessionTable:
    """Every session of this worker that has not ended."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def add(self, session: Session) -> None:
        """Take up a session."""
        self._sessions[session.entry.connection_id] = session

    def remove(self, session: Session) -> None:
        """Forget a session that has ended."""
        self._sessions.pop(session.entry.connection_id, None)

    def all(self) -> list[Session]:
        """Every one."""
        return list(self._sessions.values())

    def of_user(self, user_id: str) -> list[Session]:
        """Those of a user."""
        return [one for one in self._sessions.values() if one.identity.user_id == user_id]

    def close(self, connection_id: str, code: CloseCode, reason: str | None = None) -> None:
        """Close a connection; nothing where it is not here."""
        session = self._sessions.get(connection_id)
        if session is not None:
            session.close(code, reason)

    def close_all(self, code: CloseCode, project_id: str | None = None) -> None:
        """Close every connection, or every one that is for a project."""
        for session in self.all():
            if project_id is None or session.project_id == project_id:
                session.close(code)

    def behind_bytes(self, connection_id: str) -> int | None:
        """What waits for a connection; None where it is not here."""
        session = self._sessions.get(connection_id)
        return None if session is None else session.outbox.pending_bytes
