"""A revocation: that tokens of a user prove nothing any more."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a user's tokens of before some moment are refused.

    Attributes:
        user_id: whose.
        before: the moment.
        changed: when that was said last, by the store's clock.
    """

    user_id: str
    before: datetime
    changed: datetime
