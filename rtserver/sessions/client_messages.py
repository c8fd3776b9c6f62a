"""Messages of the session protocol that a client sends; those of a feature stand in its package.

Frames are JSON objects with a `type`. A receiver ignores keys that it does not know.
"""

from collections.abc import Sequence
from typing import Union

import msgspec

from rtserver.lib.decode_errors import complaint, why_not_json
from rtserver.model.field_types import EventId, ProjectId, ProposalId

RequestId = str | int | None


MAX_ECHO_CHARS = 256


class Command(msgspec.Struct, tag_field="type", kw_only=True):
    """What a client asks for; `request_id` comes back in the `ack` or `error`."""

    request_id: RequestId = None


def type_of(kind: type[msgspec.Struct] | msgspec.Struct) -> str:
    """The `type` of a kind of message, or of one."""
    return str(kind.__struct_config__.tag)


class View(Command, tag="view"):
    """Narrow what is viewed to these proposals; an empty list views the whole project.

    Attributes:
        proposal_ids: what to get events of.
        focus: what the user looks at, as presence tells it; what is viewed unless given.
    """

    proposal_ids: list[ProposalId]
    focus: list[ProposalId] | None = None


class RefreshToken(Command, tag="refresh_token"):
    """Go on with another token of the same user."""

    token: str


class Replay(Command, tag="replay"):
    """Send again what came after a position, then go on live."""

    from_: EventId = msgspec.field(name="from")


class MessageRefusedError(Exception):
    """A client's message cannot be used.

    Attributes:
        reason: a word for programs: `malformed`, `unknown_type`, `invalid`, `too_large`, `binary`,
            `busy`.
        request_id: taken from the message where it could be read.
        command: the type of the command that it was meant to be, where it names a known one.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        request_id: RequestId = None,
        command: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.request_id = request_id
        self.command = command


class CommandParser:
    """Reads clients' messages, where they may be these commands.

    Attributes:
        names: their types.
    """

    def __init__(self, kinds: Sequence[type[Command]]) -> None:
        self.names = [type_of(kind) for kind in kinds]
        self._decode = msgspec.json.Decoder(Union[tuple(kinds)]).decode  # noqa: UP007 - made here

    def __call__(self, text: str) -> Command:
        """Read a message.

        Raises:
            MessageRefusedError: it is not JSON, not an object, of no known type, or lacks
                something.
        """
        try:
            command: Command = self._decode(text)
        except msgspec.ValidationError as error:
            raise _explain(text, complaint(error), self.names) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            body = text.encode("utf-8", "surrogatepass")
            said = why_not_json(body, error, "The message")
            raise MessageRefusedError("malformed", said) from None
        return command


class Hello(msgspec.Struct, tag_field="type", tag="hello", kw_only=True):
    """A SockJS client's first message: what a WebSocket's address and headers say."""

    project_id: ProjectId
    token: str = ""
    last_event_id: str | None = None
    proposal_ids: list[ProposalId] = []
    focus: list[ProposalId] = []


class SessionQuery(msgspec.Struct):
    """The query of `/ws/projects/{project_id}`.

    Attributes:
        proposal_id: narrows what is viewed to these proposals; none: the whole project.
        focus: what the user looks at, as presence tells it; what is viewed unless given.
        last_event_id: resume after this event.
    """

    proposal_id: list[ProposalId] = []
    focus: list[ProposalId] = []
    last_event_id: str | None = None


_decode_hello = msgspec.json.Decoder(Hello).decode


def parse_hello(text: str | bytes) -> Hello:
    """Read a SockJS client's first message.

    Raises:
        MessageRefusedError: it is no `hello`, or something in it is wrong. The message quotes no
            value: there is a token among them.
    """
    try:
        return _decode_hello(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        said = "The first message must be a hello with project_id and token"
        if isinstance(error, msgspec.ValidationError) and _is_hello(text):
            said = f"hello: {complaint(error)}"
        raise MessageRefusedError("invalid", said) from None


def _is_hello(text: str | bytes) -> bool:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "hello"


def _explain(text: str, said: str, names: list[str]) -> MessageRefusedError:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return MessageRefusedError("malformed", "The message is not JSON")
    if not isinstance(message, dict):
        return MessageRefusedError("malformed", "A message must be a JSON object with a type")
    request_id = message.get("request_id")
    is_text = isinstance(request_id, str) and len(request_id) <= MAX_ECHO_CHARS
    is_number = isinstance(request_id, int) and not isinstance(request_id, bool)
    if not (is_text or is_number):
        request_id = None
    kind = message.get("type")
    if not isinstance(kind, str):
        return MessageRefusedError("malformed", "The message has no type", request_id)
    if kind not in names:
        known = ", ".join(names)
        return MessageRefusedError(
            "unknown_type", f"Unknown type {kind[:64]!r}; known are {known}", request_id
        )
    return MessageRefusedError("invalid", f"{kind}: {said}", request_id, kind)
