"""Publishing by other back ends: typed bodies, checked, and made into events."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from rtserver.eventlog.api import Published
from rtserver.lib.decode_errors import complaint, why_not_json
from rtserver.model import ids, texts
from rtserver.model.audience import WHOLE_PROJECT, Audience, only_users, viewers_of
from rtserver.model.errors import InvalidError, RefusedError
from rtserver.model.events import EventDraft
from rtserver.model.field_types import ProposalId, ServiceEventType, UserId

MAX_BATCH = 500
MAX_KEY_CHARS = 255
MAX_USERS = 1000
MAX_RECORDED_TYPES = 10
MAX_BATCH_BYTES = 4 * 1024 * 1024


AudienceName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["project", "proposal"]})]


class UsersAudience(msgspec.Struct):
    """These users and nobody else."""

    users: Annotated[list[UserId], msgspec.Meta(min_length=1, max_length=MAX_USERS)]


class PublishedEvent(msgspec.Struct):
    """One event.

    `audience` is `project`, `proposal` (the viewers of `proposal_id`) or `{"users": [...]}`; left
    out it is `proposal` where there is a proposal, else `project`.

    Attributes:
        data: anything; it arrives under `data`.
    """

    type: ServiceEventType
    data: Any = msgspec.field(default_factory=dict)
    proposal_id: ProposalId | None = None
    audience: AudienceName | UsersAudience | None = None


class PublishedBatch(msgspec.Struct):
    """Several events of one project, stored all or none and next to each other."""

    events: Annotated[list[PublishedEvent], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class MalformedBodyError(RefusedError):
    """What was sent is not JSON."""

    reason = "malformed"


class UnprintableKeyError(RefusedError):
    """An idempotency key has something in it that nobody could read."""

    reason = "invalid"


class TooLargeError(RefusedError):
    """An event has more data than one may have."""

    status = 413
    reason = "too_large"


_shape = msgspec.json.Decoder(dict[str, msgspec.Raw])
_event = msgspec.json.Decoder(PublishedEvent)
_batch = msgspec.json.Decoder(PublishedBatch)


def parse_events(text: bytes) -> list[PublishedEvent]:
    """The events of a body: one event, or a batch.

    It is a batch if the object itself has the key `events`, whatever else the text contains.

    Raises:
        MalformedBodyError: it is not JSON.
        InvalidError: something in it is missing or wrong.
    """
    try:
        shape = _shape.decode(text)
        if "events" not in shape:
            return [_event.decode(text)]
        if "type" in shape:
            raise InvalidError("An event has a type, a batch has events; this has both")
        return _batch.decode(text).events
    except msgspec.ValidationError as error:
        raise InvalidError(f"The body does not fit: {complaint(error)}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBodyError(why_not_json(text, error)) from None


def drafts_of(
    events: Sequence[PublishedEvent], project_id: str, actor: str, *, max_data_bytes: int
) -> list[EventDraft]:
    """The events as they go into the log; see `draft_of`.

    Raises:
        RefusedError: as `draft_of`; of several events the message names the one.
    """
    drafts = []
    for index, event in enumerate(events):
        try:
            drafts.append(draft_of(event, project_id, actor, max_data_bytes=max_data_bytes))
        except RefusedError as error:
            if len(events) == 1:
                raise
            raise type(error)(f"events[{index}]: {error}", error.reason) from None
    return drafts


def draft_of(
    event: PublishedEvent, project_id: str, actor: str, *, max_data_bytes: int
) -> EventDraft:
    """The event as it goes into the log.

    What was sent is under `data`, so that no key of it can pass for one of the log's own.

    Args:
        event: what was sent.
        project_id: where to.
        actor: who publishes.
        max_data_bytes: most bytes of `data`, as JSON.

    Raises:
        InvalidError: type, proposal or audience cannot be used.
        TooLargeError: there is too much data.
    """
    try:
        type_ = ids.event_type(event.type)
        proposal_id = None if event.proposal_id is None else ids.proposal_id(event.proposal_id)
    except ids.BadIdentifier as error:
        raise InvalidError(str(error), "bad_identifier") from None
    try:
        size_bytes = len(msgspec.json.encode(event.data))
    except RecursionError:
        raise MalformedBodyError("data is nested too deeply") from None
    if size_bytes > max_data_bytes:
        raise TooLargeError(f"An event's data may have {max_data_bytes} bytes at most")
    return EventDraft(
        project_id,
        type_,
        {"data": event.data, "actor": actor},
        audience=audience_of(event.audience, proposal_id),
        proposal_id=proposal_id,
    )


def audience_of(wanted: str | UsersAudience | None, proposal_id: str | None) -> Audience:
    """The audience that was asked for.

    Raises:
        InvalidError: no type is like it.
    """
    match wanted:
        case UsersAudience(users=users):
            return only_users(frozenset(texts.user_id("users", user_id) for user_id in users))
        case "project":
            return WHOLE_PROJECT
        case "proposal" | None if proposal_id is not None:
            return viewers_of(proposal_id)
        case "proposal":
            raise InvalidError("audience proposal needs a proposal_id")
        case None:
            return WHOLE_PROJECT
    raise InvalidError('audience takes "project", "proposal" or {"users": [...]}')


def key_in_log(project_id: str, user_id: str, key: str) -> str:
    """What the log knows a publication by that was sent under an idempotency key.

    Raises:
        UnprintableKeyError: it is not of printable characters.
    """
    if not key.isprintable():
        raise UnprintableKeyError("An idempotency key takes printable characters")
    # The user is part of it, quoted: keys of different services never meet.
    return f"publish:{project_id}:{quote(user_id, safe='')}:{key}"


def attempt_details(drafts: Sequence[EventDraft]) -> dict[str, Any]:
    """What the audit log says of a publication before it is known what becomes of it."""
    types = list(dict.fromkeys(draft.type for draft in drafts))
    return {"types": types[:MAX_RECORDED_TYPES], "events": len(drafts)}


def stored_details(published: Published) -> dict[str, Any]:
    """What it says besides of one that is stored."""
    return {"first": published.ids[0], "duplicate": published.duplicate or None}
