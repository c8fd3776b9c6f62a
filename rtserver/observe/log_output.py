"""One pipeline for every log line: ours (structlog), Tornado's and the libraries' (stdlib).

A line goes to stderr as text for people or as one JSON object. Before it is written, whatever may
be a token and every secret of the configuration is replaced, wherever it stands: in the message, in
a field, in a traceback. Code that logs should be careful all the same.
"""

import json
import logging
import sys
from collections.abc import Iterable
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from rtserver.model.texts import printable
from rtserver.observe.scrubbing import scrub

HIDDEN = "[secret]"
"""What is written in the place of a secret of the configuration."""

_SHORTEST_SECRET_CHARS = 4
_MAX_DEPTH = 6
# Below warnings these tell of each request or command, with what was sent.
_CHATTY = ("aiohttp", "asyncio", "pymongo")
_TRACEBACKS = ("exception", "stack")


def secret_forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """The texts that must not be seen in a log, in each form that they may take there.

    Returns:
        The longest first, so that a secret that holds another is hidden whole. Texts that are too
        short to be told from ordinary words are left out.
    """
    plain = [text for text in secrets if len(text) >= _SHORTEST_SECRET_CHARS]
    # Quotes, backslashes and the like look different within a repr and within JSON.
    forms = {form for text in plain for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1])}
    return tuple(sorted(forms, key=len, reverse=True))


class Scrubber:
    """A structlog processor that takes tokens and known secrets out of everything in a line.

    Args:
        secrets: texts to hide wherever they stand, longest first.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)

    def text(self, text: str) -> str:
        """The text less tokens and secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return scrub(text)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """The line's fields, scrubbed; what is no text, number or container as its repr."""
        return {self.text(key): self._value(value, _MAX_DEPTH) for key, value in event.items()}

    def _value(self, value: object, depth: int) -> object:
        match value:
            case str():
                # A subclass may look different when it is written; a plain text can't.
                return self.text(str(value))
            case bool() | int() | float() | None:
                return value
            case dict() if depth:
                return {
                    self.text(str(key)): self._value(item, depth - 1) for key, item in value.items()
                }
            case list() | tuple() | set() | frozenset() if depth:
                return [self._value(item, depth - 1) for item in value]
            case _:
                return self.text(repr(value))


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor for text output: nobody forges a line, or drives the terminal.

    A line end or an escape sequence in a value may be a peer's. Only tracebacks keep line ends.
    """
    return {
        printable(key): printable(value.rstrip("\n"), "\n" if key in _TRACEBACKS else "")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that can't be written is told of without its content."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        # The base class prints the message and its arguments as they are, tokens and all.
        kind = sys.exc_info()[0]
        name = kind.__name__ if kind else "unknown"
        sys.stderr.write(f"a log line of {record.name} could not be written: {name}\n")


def configure_logs(
    log_format: str, log_level: str, secrets: Iterable[str], stream: TextIO | None = None
) -> None:
    """Send every log line of this process through the pipeline. Call it once, at start.

    What was configured before is replaced.

    Args:
        log_format: `text` or `json`.
        log_level: the least severe level that is written, by its name in `logging`.
        secrets: texts to hide wherever they stand.
        stream: where lines go; stderr unless given.
    """
    level = logging.getLevelNamesMapping()[log_level.upper()]
    target = sys.stderr if stream is None else stream
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                Scrubber(secret_forms(secrets)),
                *_renderers(log_format, colors=target.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers are made at import, before this is called; none may keep an earlier pipeline.
        cache_logger_on_first_use=False,
    )


def _renderers(log_format: str, *, colors: bool) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer(sort_keys=False)]
    return [
        escape_controls,
        structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
