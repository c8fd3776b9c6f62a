"""Types of the values that clients send and get, with what the interface's documents say of them.

A value whose rule is in `ids`, `texts` or `positions` is checked there, in words for people; what
is said of it here is made of the same patterns and bounds.
"""

from typing import Annotated

from msgspec import Meta

from rtserver.model import ids
from rtserver.model.identity import MAX_NAME_CHARS
from rtserver.model.positions import POSITION_PATTERN


def _matching(pattern: str, description: str, example: str, max_chars: int) -> Meta:
    return Meta(
        description=description,
        examples=[example],
        extra_json_schema={"pattern": f"^(?:{pattern})$", "minLength": 1, "maxLength": max_chars},
    )


def line_of(max_chars: int, *, min_chars: int = 1) -> Meta:
    """A text that `texts` checks."""
    return Meta(extra_json_schema={"minLength": min_chars, "maxLength": max_chars})


ProjectId = Annotated[
    str, _matching(ids.PROJECT_ID_PATTERN, "The id of a project", "demo", ids.MAX_ID_LENGTH)
]
ProposalId = Annotated[
    str,
    _matching(
        ids.PROPOSAL_ID_PATTERN,
        "The id of a proposal: the name of its OpenSpec change; unique on the server",
        "add-hold-queue",
        ids.MAX_ID_LENGTH,
    ),
]
RunId = Annotated[
    str, _matching(ids.RECORD_ID_PATTERN, "The id of a run", "5f2c1e0ad3b9", ids.MAX_ID_LENGTH)
]
CommentId = Annotated[
    str,
    _matching(ids.RECORD_ID_PATTERN, "The id of a comment", "8d1057318cac3dd5", ids.MAX_ID_LENGTH),
]
ConnectionId = Annotated[
    str,
    _matching(ids.RECORD_ID_PATTERN, "The id of a connection", "b0c44e1f9a27", ids.MAX_ID_LENGTH),
]
ServiceEventType = Annotated[
    str,
    _matching(
        ids.EVENT_TYPE_PATTERN,
        "A service's own type: two or more lower-case words joined by dots",
        "build.finished",
        ids.MAX_EVENT_TYPE_LENGTH,
    ),
]
EventId = Annotated[
    str,
    _matching(
        POSITION_PATTERN,
        "A position in the log, EPOCH-SEQ: the id of a stored event",
        "ccf52aca-5",
        64,
    ),
]
UserId = Annotated[
    str,
    Meta(
        description="A user, as the claim `sub` of tokens names them",
        examples=["ada"],
        extra_json_schema={"minLength": 1, "maxLength": MAX_NAME_CHARS},
    ),
]
Moment = Annotated[
    str,
    Meta(
        description="A moment (RFC 3339, UTC)",
        examples=["2026-01-01T10:00:00.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
RevisionNumber = Annotated[
    int, Meta(ge=1, description="The number of a revision within its proposal: 1, 2, 3, ...")
]
Sha256 = Annotated[
    str,
    Meta(
        description="A SHA-256, hexadecimal",
        extra_json_schema={"pattern": "^[0-9a-f]{64}$"},
    ),
]
Digest = Annotated[
    str,
    Meta(
        description="What the files of a revision hold: `sha256:` and hexadecimal",
        extra_json_schema={"pattern": "^sha256:[0-9a-f]{64}$"},
    ),
]
