"""The document of the HTTP interface says all that there is, in OpenAPI's own form."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from handlers.interface.openapi import UndocumentedError, operations_of
from handlers.interface.openapi import document as describe
from handlers.interface.route import Route
from handlers.routes import OPENAPI
from tests.support.documents import UndocumentedAnswerError, check_answer, document


def _operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, described)
        for path, item in document(OPENAPI)["paths"].items()
        for method, described in item.items()
        if method != "parameters"
    ]


def test_it_is_openapi() -> None:
    OpenAPIV31SpecValidator(document(OPENAPI)).validate()


def test_operations_are_told_apart_and_described() -> None:
    names = [described["operationId"] for _, _, described in _operations()]
    assert len(set(names)) == len(names)
    for path, method, described in _operations():
        where = f"{method} {path}"
        assert described["summary"], where
        for parameter in described.get("parameters", ()):
            assert parameter["in"] in ("query", "header"), where
        for status, answer in described["responses"].items():
            assert answer["description"], where
            content = answer.get("content", {})
            if int(status) >= 400 and (path, status) != ("/readyz", "503"):
                assert list(content) == ["application/problem+json"], where
            else:
                assert "application/problem+json" not in content, where


def test_who_needs_a_token_and_which_role() -> None:
    roles = {
        described["operationId"]: {tuple(names) for one in security for names in one.values()}
        for _, _, described in _operations()
        if (security := described["security"])
    }
    assert roles["publish"] == {("service",)}
    assert roles["readAudit"] == roles["disconnect"] == {("admin",)}
    assert roles["getProject"] == {()}
    assert not {"getHealth", "getMetrics", "getOpenapi"} & set(roles)


def test_the_contracts_statuses() -> None:
    statuses = {
        described["operationId"]: set(map(int, described["responses"]))
        for _, _, described in _operations()
    }
    assert statuses["publish"] == {201, 400, 401, 403, 413, 422, 429, 503}
    assert statuses["changeProposal"] >= {200, 404, 409, 412}
    assert statuses["streamEvents"] >= {200, 401, 403, 404, 406, 503}
    assert statuses["startValidation"] >= {202, 409}


class _Silent(ApiHandler):
    async def get(self) -> None:
        """Do something."""


class _Spoken(ApiHandler):
    @operation("speak", {204: Answer()}, problems=(409,))
    async def post(self) -> None:
        """Say something."""


def test_a_method_of_which_nothing_is_said_is_an_error() -> None:
    with pytest.raises(UndocumentedError, match="GET /silent"):
        describe([Route("/silent", _Silent)])


def test_what_is_said_is_what_stands_in_the_document() -> None:
    assert [method for method, _ in operations_of(Route("/x", _Spoken))] == ["POST"]
    described = describe([Route("/x", _Spoken)])["paths"]["/x"]
    assert list(described) == ["post"]
    assert described["post"]["summary"] == "Say something"
    assert set(described["post"]["responses"]) == {"204", "400", "401", "409", "413", "429", "503"}


_GOOD = b'{"type":"about:blank","title":"T","status":404,"detail":"D"}'


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        (402, "application/problem+json", _GOOD),
        (404, "application/json", _GOOD),
        (404, "application/problem+json", b'{"title":"T"}'),
        (404, "application/problem+json", _GOOD[:-1] + b',"secret":1}'),
        (200, "application/json", b"{}"),
        (503, "application/problem+json", _GOOD[:-1] + b',"retry_after_s":1}'),  # no header
    ],
)
def test_an_answer_that_is_not_as_described_is_seen(
    status: int, media_type: str, body: bytes
) -> None:
    with pytest.raises(UndocumentedAnswerError):
        check_answer("GET", "/api/v1/runs/r", status, {"Content-Type": media_type}, body)
    good = {"Content-Type": "application/problem+json; charset=utf-8"}
    check_answer("GET", "/api/v1/runs/r", 404, good, _GOOD)
