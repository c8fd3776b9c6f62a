"""Lists that come in pages: where the next one begins, and how much is in one."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from msgspec import Meta

from rtserver.model import ids

PAGE_BYTES = 256 * 1024
"""Of what is on a page, as it is stored. It is made, sent and read without holding others up."""

MAX_PAGE = 500
DEFAULT_PAGE = 200
_PLACE = re.compile(rf"([0-9]{{1,14}})-({ids.PROPOSAL_ID_PATTERN})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PageLimit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[
    str,
    Meta(
        description="Where the next page begins: `next` of the one before",
        examples=["1767261600000-add-hold-queue"],
        extra_json_schema={"pattern": f"^(?:{_PLACE.pattern})$", "maxLength": 150},
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list that is in the order in which its things were made.

    It holds whatever becomes of the thing that it was taken from.

    Attributes:
        moment: when that was made.
        id: its id, which decides among those of one moment.
    """

    moment: datetime
    id: str

    def __str__(self) -> str:
        """As clients get it."""
        return f"{(self.moment - _EPOCH) // timedelta(milliseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What a client sends back.

        Raises:
            ValueError: no page has given this.
        """
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("this is no `next` of a page")
        return cls(_EPOCH + timedelta(milliseconds=int(match[1])), match[2])
