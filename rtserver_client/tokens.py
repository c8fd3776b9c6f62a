"""Where the client's token comes from, and when it needs a new one."""

import base64
import inspect
import json
from collections.abc import Awaitable, Callable

TokenSource = str | Callable[[], str | Awaitable[str]]
"""A token, or what gives one: called again when a fifth of its life is left, or it was refused."""

LEAST_RENEWAL_S, MOST_LEFT_S = 5.0, 60.0


class Tokens:
    """The token of one client.

    Attributes:
        can_renew: whether another one can be had.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._token: str | None = source if isinstance(source, str) else None
        self.can_renew = not isinstance(source, str)

    async def current(self) -> str:
        """The token in use."""
        return self._token if self._token is not None else await self.renew()

    async def renew(self) -> str:
        """Another token where there is a source of them, else the same."""
        if not isinstance(self._source, str):
            given = self._source()
            self._token = await given if inspect.isawaitable(given) else given
        assert self._token is not None  # noqa: S101 - a source that is a string is its own token
        return self._token


def renewal_in_s(token: str) -> float | None:
    """After how long a token that came just now wants another; None where it does not say.

    That is by its own life (RFC 7519, `exp` less `iat`) and not by this computer's clock, which
    may be wrong.
    """
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        life_s = float(claims["exp"]) - float(claims["iat"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return max(LEAST_RENEWAL_S, life_s - min(life_s / 5, MOST_LEFT_S))
