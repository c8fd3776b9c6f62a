"""Topology: tells when MongoDB's primary goes and comes, as the driver's monitor sees it."""

import asyncio
from typing import Protocol

from pymongo import monitoring


class PrimaryObserver(Protocol):
    """Who wants to know; called on the event loop."""

    def primary_lost(self) -> None:
        """There is no primary any more."""

    def primary_found(self) -> None:
        """There is one again."""


class PrimaryWatch(monitoring.TopologyListener):
    """Listens on the driver's threads, and tells on the event loop.

    Attributes:
        observers: are told when there is a primary no more or again; nothing of the first time.
    """

    def __init__(self) -> None:
        """Make a listener for `store.base.client.connect`, on the running event loop."""
        self.observers: list[PrimaryObserver] = []
        self._loop = asyncio.get_running_loop()
        self._found = False
        self._up = False

    def opened(self, event: monitoring.TopologyOpenedEvent) -> None:
        """Nothing to tell yet."""

    def description_changed(self, event: monitoring.TopologyDescriptionChangedEvent) -> None:
        """The monitor sees the replica set in another state."""
        up = bool(event.new_description.has_writable_server())
        if up != self._up:
            self._up = up
            if self._found:
                self._tell(up)
            self._found = self._found or up

    def closed(self, event: monitoring.TopologyClosedEvent) -> None:  # noqa: ARG002
        """The client is closing: that is no loss."""
        self._found = False

    def _tell(self, up: bool) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell_observers, up)

    def _tell_observers(self, up: bool) -> None:
        for observer in self.observers:
            if up:
                observer.primary_found()
            else:
                observer.primary_lost()
