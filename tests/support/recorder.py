"""Sees what in-process code logs, so that no error passes unnoticed."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, WrappedLogger

_ALARMS = ("error", "critical", "exception")


class LogRecorder:
    """What was logged, and which errors a test is ready for.

    Attributes:
        lines: every structlog line, as a dict with `event` and `level`.
        errors: errors and worse, of structlog and of the standard library.
    """

    def __init__(self) -> None:
        self.lines: list[EventDict] = []
        self.errors: list[str] = []
        self._expected: set[str] = set()

    def expect(self, *events: str) -> None:
        """Allow errors of these event names, or stdlib errors of these loggers."""
        self._expected.update(events)

    def unexpected(self) -> list[str]:
        """Errors that the test did not expect."""
        return self.errors

    def add(self, name: str, text: str) -> None:
        """Note an error, unless it is expected."""
        if name not in self._expected:
            self.errors.append(text)

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """As a structlog processor; the last, for nothing need be printed."""
        self.lines.append({**event, "level": method})
        if method in _ALARMS or event.get("exc_info"):
            # Without the traceback nobody could say what happened once under load.
            told = traceback.format_exc() if event.get("exc_info") else ""
            self.add(str(event["event"]), f"{method}: {event}\n{told}")
        raise structlog.DropEvent


class _Handler(logging.Handler):
    def __init__(self, recorder: LogRecorder) -> None:
        super().__init__(logging.ERROR)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        self._recorder.add(record.name, f"{record.name}: {record.getMessage()}")


@contextmanager
def recording() -> Iterator[LogRecorder]:
    """Record what is logged meanwhile, and put back how it was configured before."""
    recorder = LogRecorder()
    handler = _Handler(recorder)
    before = structlog.get_config()
    structlog.configure(processors=[recorder])
    logging.getLogger().addHandler(handler)
    try:
        yield recorder
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.configure(**before)
