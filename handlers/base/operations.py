"""Operations of the HTTP interface: what each request takes and gives, said beside its handler.

`@operation(...)` marks a handler's method. The handler reads query, headers and body through the
types named there (see `handlers.base.inputs`), and `handlers.interface.openapi` makes the document
of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

JSON = "application/json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is no problem.

    Attributes:
        kinds: the types that its document may have; none: it has no body.
        headers: the headers that it has beyond the usual: names of
        `handlers.interface.openapi.HEADERS`.
        media_types: of the body: one of these. A body that is no JSON is described as text.
        description: what the status means here.
    """

    kinds: tuple[Any, ...] = ()
    headers: tuple[str, ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    description: str = "Done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of an address takes and gives.

    Attributes:
        name: unique; `operationId` in the document.
        answers: by status, the responses that are no problem.
        problems: the further statuses, each with a problem document.
        query: the parameters of the query.
        headers: the request headers that count.
        body: the types that the body may have; none: there is no body.
        body_required: whether there has to be a body.
        roles: the roles one of which the token must have.
        needs_token: whether it is for those with a token.
    """

    name: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    query: type[msgspec.Struct] | None = None
    headers: type[msgspec.Struct] | None = None
    body: tuple[type[msgspec.Struct], ...] = ()
    body_required: bool = True
    roles: tuple[Literal["admin", "service"], ...] = ()
    needs_token: bool = True
    statuses: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """Gather all statuses that a client has to reckon with."""
        statuses = {*self.answers, *self.problems, 413, 429}
        if self.needs_token:
            # An address or a token that is wrong, MongoDB gone.
            statuses |= {400, 401, 503}
        if self.roles:
            statuses.add(403)
        if self.query is not None or self.headers is not None:
            statuses.add(400)
        if self.body:
            statuses.add(422)
        object.__setattr__(self, "statuses", frozenset(statuses))


def operation(name: str, answers: Mapping[int, Answer], **more: Any) -> Callable[[Method], Method]:
    """Mark a method of a handler; see `Operation` for what can be said."""
    described = Operation(name=name, answers=answers, **more)

    def mark(method: Method) -> Method:
        vars(method)["operation"] = described
        return method

    return mark


def operation_of(handler: type, method: str) -> Operation | None:
    """What is said of a method of a handler; of GET for HEAD."""
    name = "get" if method == "HEAD" else method.lower()
    found: Operation | None = getattr(getattr(handler, name, None), "operation", None)
    return found
