"""Identity: who a verified token says its bearer is, and the claims that say so."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

import msgspec

MAX_NAME_CHARS = 256
EVERY_PROJECT = "*"

# A line or paragraph separator forges log lines as well as a control character does, and half
# of a surrogate pair (JSON can spell one) fails wherever the text is next written as UTF-8.
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

# 9999-12-31T23:59:59Z, the last moment that RFC 3339 and datetime can express.
_LAST_MOMENT_S = 253_402_300_799.0


class Role(StrEnum):
    """What a token may do beyond its projects. Roles that are not listed here are ignored."""

    ADMIN = "admin"
    """Reads the audit log, uses the operator endpoints, opens every project."""
    SERVICE = "service"
    """Publishes events of its own types."""


class ClaimsError(ValueError):
    """A claim is missing, of the wrong type, or out of range.

    The message names the claim and never quotes its value.
    """


_ROLES = frozenset(Role)


@functools.lru_cache(maxsize=1024)
def _shared(names: tuple[str, ...]) -> frozenset[str]:
    """A set of names: one object for the many connections that have the same."""
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as one token describes them.

    Attributes:
        user_id: The token's ``sub``: 1 to 256 characters, none of them a control character.
        name: What to show to people; the user id where the token has no name.
        projects: The ids of the projects that it may open; ``*`` stands for all of them.
        roles: The known roles that it holds, see `Role`.
        expires_at: Unix time in seconds from which the identity is no longer honoured.
        issued_at: Unix time in seconds at which the token says that it was made; None where it does
            not say.
    """

    user_id: str
    name: str
    projects: frozenset[str]
    roles: frozenset[str]
    expires_at: float
    issued_at: float | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the role admin is held."""
        return Role.ADMIN in self.roles

    @property
    def is_service(self) -> bool:
        """Whether the role service is held."""
        return Role.SERVICE in self.roles

    def may_open(self, project_id: str) -> bool:
        """Whether the project may be seen: it is listed, or all are."""
        return self.is_admin or EVERY_PROJECT in self.projects or project_id in self.projects


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class Claims(msgspec.Struct, frozen=True):
    """The claims of a JWT that rtserver reads (RFC 7519 section 4); others are ignored.

    Times are Unix seconds (NumericDate), with or without a fraction.
    """

    sub: _Text
    exp: float
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)] = ""
    projects: tuple[_Text, ...] = ()
    roles: tuple[str, ...] = ()
    nbf: float | None = None
    iat: float | None = None

    @classmethod
    def from_payload(cls, payload: Mapping[str, object]) -> Self:
        """Checks the types and ranges of a token's payload. It does not look at the clock.

        Raises:
            ClaimsError: A claim is missing, of the wrong type or out of range.
        """
        # None is no value of any of them, though `float | None` would let it pass below.
        for claim in ("nbf", "iat"):
            if claim in payload and payload[claim] is None:
                raise ClaimsError(f"Expected `float`, got `null` - at `$.{claim}`")
        try:
            claims = msgspec.convert(payload, cls)
        except msgspec.ValidationError as error:
            raise ClaimsError(str(error)) from None
        for claim in ("exp", "nbf", "iat"):
            moment = getattr(claims, claim)
            # JSON has no Infinity, but Python's parser takes it, and 1e999 becomes it.
            if moment is not None and not (math.isfinite(moment) and moment <= _LAST_MOMENT_S):
                raise ClaimsError(f"Not a moment before the year 10000 - at `$.{claim}`")
        for claim, texts in (
            ("sub", (claims.sub,)),
            ("name", (claims.name,)),
            ("projects", claims.projects),
        ):
            if any(unicodedata.category(char) in UNPRINTABLE for text in texts for char in text):
                raise ClaimsError(f"Control characters are not allowed - at `$.{claim}`")
        return claims

    def to_identity(self, *, leeway_s: float = 0.0) -> Identity:
        """Makes the identity that these claims describe.

        Args:
            leeway_s: How long after ``exp`` the token is still honoured, in seconds.
        """
        return Identity(
            user_id=self.sub,
            name=self.name or self.sub,
            projects=_shared(tuple(self.projects)),
            roles=_shared(tuple(role for role in self.roles if role in _ROLES)),
            expires_at=self.exp + leeway_s,
            issued_at=self.iat,
        )
