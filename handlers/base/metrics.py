"""The metrics of HTTP requests."""

from http import HTTPMethod, HTTPStatus

from rtserver.observe.metrics import OTHER, MetricsRegistry, known_or_other

_METHODS = tuple(
    method.value
    for method in (
        HTTPMethod.GET,
        HTTPMethod.HEAD,
        HTTPMethod.POST,
        HTTPMethod.PUT,
        HTTPMethod.PATCH,
        HTTPMethod.DELETE,
        HTTPMethod.OPTIONS,
    )
)
_STATUSES = tuple(
    str(status.value)
    for status in (
        HTTPStatus.SWITCHING_PROTOCOLS,
        HTTPStatus.OK,
        HTTPStatus.CREATED,
        HTTPStatus.ACCEPTED,
        HTTPStatus.NO_CONTENT,
        HTTPStatus.NOT_MODIFIED,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.CONFLICT,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
)


class HttpMetrics:
    """What is counted of HTTP requests.

    Attributes:
        http_requests_total: by `method` and `status`.
        http_write_timeouts_total: connections that were ended because their client read nothing.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.http_requests_total = registry.counter(
            "http_requests",
            "HTTP requests answered",
            ["method", "status"],
            [[method, status] for method in (*_METHODS, OTHER) for status in (*_STATUSES, OTHER)],
        )

        self.http_write_timeouts_total = registry.counter(
            "http_write_timeouts", "Connections ended in an answer that was not read"
        )

    def http_request(self, method: str, status: int) -> None:
        """Count an answered request, whatever method the client came up with."""
        self.http_requests_total.labels(
            known_or_other(method, _METHODS), known_or_other(str(int(status)), _STATUSES)
        ).inc()
