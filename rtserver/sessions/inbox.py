"""Inbox: what a client sends, held to its rate and size, parsed, and carried out as commands."""

from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from rtserver.lib.rate_limit import TokenBucket
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import AnsweredError
from rtserver.sessions.client_messages import Command, MessageRefusedError, type_of

if TYPE_CHECKING:
    from rtserver.sessions.session import Session

MAX_STRIKES = 10
MAX_COMMANDS_IN_FLIGHT = 8

_log = structlog.get_logger()


class Inbox:
    """Made with a session's first message: most connections never send one."""

    __slots__ = ("_bucket", "_early", "_in_flight", "_session", "_strikes")

    def __init__(self, session: "Session", *, welcomed: bool) -> None:
        settings = session.services.settings
        self._session = session
        self._bucket = TokenBucket(
            settings.max_messages_per_s, settings.max_message_burst, session.services.now_s()
        )
        self._early: list[tuple[Command | MessageRefusedError, int]] | None
        self._early = None if welcomed else []
        self._in_flight = 0
        self._strikes = 0

    def count(self) -> bool:
        """Count what the client sent; False where it was too much, which ends the session."""
        session = self._session
        services, now_s = session.services, session.services.now_s()
        # Also by user: who comes back after each burst has a new one, with a burst of its own.
        if self._bucket.take(now_s) and not services.user_messages.take(
            session.entry.user_id, now_s
        ):
            return True
        session.close(CloseCode.TOO_MANY_MESSAGES)
        return False

    def on_message(self, message: str | bytes) -> None:
        """Take a message. One that came before the welcome is answered after it."""
        session = self._session
        # What a service publishes is held back by what can be stored, and by nothing else.
        may_be_free = session.identity.is_service
        if not (may_be_free or self.count()):
            return
        text = message if isinstance(message, bytes) else message.encode("utf-8", "surrogatepass")
        received = self._read_message(message, len(text))
        is_free = may_be_free and type(received) in session.services.commands.takers
        if may_be_free and not (is_free or self.count()):
            return
        if self._early is None:
            self._take(received, len(text))
        elif len(self._early) < MAX_COMMANDS_IN_FLIGHT:
            self._early.append((received, len(text)))
        else:
            session.close(CloseCode.TOO_MANY_MESSAGES)

    def open(self) -> None:
        """The client was welcomed: carry out what it sent before."""
        early, self._early = self._early, None
        for received, size_bytes in early or ():
            self._take(received, size_bytes)

    def _read_message(self, message: str | bytes, size_bytes: int) -> Command | MessageRefusedError:
        limit = self._session.services.settings.max_message_bytes
        try:
            if isinstance(message, bytes):
                raise MessageRefusedError("binary", "Send JSON as text; binary is not taken")
            if size_bytes > limit:
                raise MessageRefusedError("too_large", f"A message may have {limit} bytes at most")
            return self._session.services.commands.parse(message)
        except MessageRefusedError as refusal:
            return refusal

    def _take(self, command: Command | MessageRefusedError, size_bytes: int) -> None:
        if self._session.is_closing():
            return
        if isinstance(command, MessageRefusedError):
            self.refuse(command)
            return
        self._strikes = 0
        taker = self._session.services.commands.takers.get(type(command))
        if taker is not None:
            taker(self._session, command, size_bytes)
            return
        if self._in_flight >= MAX_COMMANDS_IN_FLIGHT:
            self._answer_refusal(
                MessageRefusedError(
                    "busy",
                    f"{MAX_COMMANDS_IN_FLIGHT} commands are under way; wait for an answer first",
                    command.request_id,
                    type_of(command),
                )
            )
            return
        self._in_flight += 1
        self._session.services.tasks.start(self._run_command(command), name="command")

    def refuse(self, refusal: MessageRefusedError) -> None:
        """Answer a message that cannot be used; close a session that keeps sending such."""
        self._answer_refusal(refusal)
        self._strikes += 1
        if self._strikes >= MAX_STRIKES:
            self._session.close(CloseCode.PROTOCOL_ERROR, "Too many messages that cannot be used")

    def _answer_refusal(self, refusal: MessageRefusedError) -> None:
        self._session.services.refusals.record(self._session.entry, refusal)
        self._session.send_error(refusal.request_id, refusal.reason, str(refusal))

    async def _run_command(self, command: Command) -> None:
        try:
            result = await self._session.services.commands.handlers[type(command)](
                self._session, command
            )
        except AnsweredError as error:
            self._session.send_error(command.request_id, error.reason, str(error), error.details)
        except Exception:  # noqa: BLE001 - the client gets an answer in any case
            _log.exception("command_failed", command=type(command).__name__)
            self._session.send_error(
                command.request_id, "internal", "The server could not do this; try again"
            )
        else:
            self._session.send(structs.replace(result, request_id=command.request_id))
        finally:
            self._in_flight -= 1
