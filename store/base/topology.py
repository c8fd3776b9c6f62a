"""Topology: tells when MongoDB's primary goes and comes, as the driver's monitor sees it."""

import asyncio
from collections.abc import Callable

from pymongo import monitoring


class PrimaryWatch(monitoring.TopologyListener):
    """Listens on the driver's threads, and tells on the event loop."""

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        """Make a listener for `store.base.client.connect`.

        Args:
            on_change: called on the event loop with whether there is a primary, when that changes;
                not before there was one for the first time.
        """
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
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
            self._loop.call_soon_threadsafe(self._on_change, up)
