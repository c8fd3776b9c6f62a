"""The documentation of an action: meaning, example, details, and when it must be recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ActionDoc:
    """What the documentation says of an action.

    Attributes:
        meaning: when it is recorded.
        example: fields of a record as it may look, beside those that every record has.
        must: the act is refused with 503 rather than done while it can't be recorded.
        kept: recorded also past the spool's bound: what the server itself went through, and ends
            of what was let through before. Of these there are only few.
        details: what its `details` may hold, key by key.
    """

    meaning: str
    example: Mapping[str, Any]
    must: bool = False
    kept: bool = False
    details: Mapping[str, str] = field(default_factory=dict)
