"""The record of one connection, as the registries of its project and of its user hold it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """One connection in the registries.

    Attributes:
        connection_id, worker_id: which, and who owns it.
        user_id, project_id, transport: what it is for.
        opened_at: Unix time in seconds.
        ip: the client's address.
        behind_bytes: what waited for it when its lease was last renewed.
        name: what to call the user.
        looking_at: the proposals that the user looks at through it; empty for the whole project.
    """

    connection_id: str
    worker_id: str
    user_id: str
    project_id: str
    transport: str
    opened_at: float
    ip: str = ""
    behind_bytes: int = 0
    name: str = ""
    looking_at: frozenset[str] = frozenset()
