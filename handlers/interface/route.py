"""One address of the server, as a template: what Tornado matches, and what documents show."""

import re
from dataclasses import dataclass, field
from typing import Any

from tornado import web

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """An address.

    Attributes:
        path: with parameters in braces, each of which is one part of the path.
        handler: who answers.
        given: what the handler is initialised with.
    """

    path: str
    handler: type[web.RequestHandler]
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return _PARAMETER.findall(self.path)

    def rule(self) -> tuple[str, type[web.RequestHandler], dict[str, Any]]:
        """The same for Tornado. Handlers' methods get the parameters in order."""
        parts = _PARAMETER.split(self.path)
        pattern = "([^/]+)".join(re.escape(part) for part in parts[::2])
        return (pattern, self.handler, self.given)
