"""Makes the sessions of connections that are for a project."""

from rtserver.model.connection import ConnectionRecord
from rtserver.model.identity import Identity
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.services import SessionServices
from rtserver.sessions.session import Session
from rtserver.sessions.transport import Transport


class ProjectSessions:
    """What a transport hands its connection over to, once that has a place."""

    def __init__(self, gateway: Gateway, services: SessionServices) -> None:
        """Make it.

        Args:
            gateway: lets clients in.
            services: what sessions need.
        """
        self._gateway = gateway
        self._services = services

    def open(
        self,
        transport: Transport,
        identity: Identity,
        entry: ConnectionRecord,
        proposal_ids: frozenset[str] | None,
    ) -> Session:
        """Make the session of a connection that has a place."""
        session = Session(self._services, transport, identity, entry, proposal_ids)
        self._gateway.register(session)
        return session
