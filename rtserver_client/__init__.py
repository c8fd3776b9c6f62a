"""A client of rtserver: events with resume built in, and what programs do in a project."""

from rtserver_client.blocking import BlockingClient, BlockingProject
from rtserver_client.client import Client
from rtserver_client.errors import ApiError, RtserverError, StoppedError, UnreachableError
from rtserver_client.frames import StoredEvent
from rtserver_client.gap import Gap
from rtserver_client.positions import FilePositions, MemoryPositions, PositionStore
from rtserver_client.project import Project, ProposalHandle

__all__ = [
    "ApiError",
    "BlockingClient",
    "BlockingProject",
    "Client",
    "FilePositions",
    "Gap",
    "MemoryPositions",
    "PositionStore",
    "Project",
    "ProposalHandle",
    "RtserverError",
    "StoppedError",
    "StoredEvent",
    "UnreachableError",
]
