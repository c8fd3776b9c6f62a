"""One address of the server, as a template: what Tornado matches, and what documents show."""

import re
from dataclasses import dataclass, field
from typing import Any

from tornado import web

_PARAMETER = re.compile(r"\{(\w+)(\*?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """An address.

    Attributes:
        path: with parameters in braces, each of which is one part of the path; one that ends with
            an asterisk is all the parts that are left.
        handler: who answers.
        given: what the handler is initialised with.
    """

    path: str
    handler: type[web.RequestHandler]
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [name for name, _ in _PARAMETER.findall(self.path)]

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace("*}", "}")

    def rule(self) -> tuple[str, type[web.RequestHandler], dict[str, Any]]:
        """The same for Tornado. Handlers' methods get the parameters in order."""
        text, *parameters = _PARAMETER.split(self.path)
        pattern = re.escape(text)
        for rest, between in zip(parameters[1::3], parameters[2::3], strict=True):
            pattern += ("(.+)" if rest else "([^/]+)") + re.escape(between)
        return (pattern, self.handler, self.given)
