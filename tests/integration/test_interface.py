"""Whatever openapi.json lets a client send, and what it does not, is answered as it says."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from handlers.routes import OPENAPI
from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.documents import document
from tests.support.tokens import token

PROJECT = "interface"
# That no answer is a 500 is part of the second: the document lists none. 503 is listed, and meant.
CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
OPERATIONS = sorted(
    operation["operationId"]
    for item in document(OPENAPI)["paths"].values()
    for method, operation in item.items()
    if method != "parameters"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A server with something in it."""

    schema: Any
    ids: dict[str, str]
    headers: dict[str, str]


@pytest.fixture(scope="module")
def filled(_pair: Pair) -> Target:
    """Filled once: that takes as long as the requests of an operation do."""
    _pair.workspace(PROJECT)
    signed = token("svc", roles=("service", "admin"))
    ids = asyncio.run(_fill(_pair.one.address, signed))
    schema = schemathesis.openapi.from_dict(document(OPENAPI))
    schema.config.update(base_url=f"http://{_pair.one.address}")
    return Target(schema, ids, {"Authorization": f"Bearer {signed}"})


@pytest.fixture
def target(pair: Pair, filled: Target) -> Target:
    """The same for each test; what the pair's workers log is looked at after each."""
    assert pair.one.address in filled.schema.config.base_url
    return filled


async def _fill(address: str, signed: str) -> dict[str, str]:
    """What there is to be found; the ids by the names of path parameters."""
    async with api(address, token=signed) as service:
        proposals = f"/api/v1/projects/{PROJECT}/proposals"
        await service.http.post(proposals, json={"id": "interface-1", "title": "T"})
        first = {"base": 0, "files": {"proposal.md": "# Why\n"}}
        await service.http.post("/api/v1/proposals/interface-1/revisions", json=first)
        await service.publish(PROJECT)
        answer = await service.http.post("/api/v1/proposals/interface-1/validations")
        run = answer.json()
        return {
            "project_id": PROJECT,
            "proposal_id": "interface-1",
            "run_id": run.get("run_id") or run["run"]["run_id"],
            "connection_id": "nobody",
            "user_id": "revoked by the document",
            "revision": "1",
            "comment_id": "nobody",
            "file_path": "proposal.md",
        }


def _cases(target: Target, operation: Any, mode: GenerationMode) -> st.SearchStrategy[Any]:
    """Requests about what there is, and about what there is not."""
    names = [parameter.name for parameter in operation.path_parameters]
    anything: st.SearchStrategy[Any] = operation.as_strategy(mode)
    if not names:
        return anything
    known = {name: target.ids[name] for name in names}
    try:
        found: st.SearchStrategy[Any] = operation.as_strategy(mode, path_parameters=known)
    except ValueError:
        return anything
    return st.one_of(found, anything)


def _takes_anything(operation: Any) -> bool:
    return bool([*operation.path_parameters, *operation.query, *operation.headers, *operation.body])


def _try(target: Target, operation_id: str, examples: int) -> None:
    operation = target.schema.find_operation_by_id(operation_id)
    headers = dict(target.headers)
    if operation_id == "streamEvents":
        headers["Accept"] = "application/json"  # a stream that is given has no end
    checks = [CHECKS.get_one(name) for name in CHECKED]

    bounded = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for mode in GenerationMode:

        @bounded
        @given(_cases(target, operation, mode))
        def send(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=checks, timeout=30)

        if mode is GenerationMode.NEGATIVE and not _takes_anything(operation):
            continue  # no request can be wrong
        send()


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_requests_by_the_document_are_answered_by_it(target: Target, operation_id: str) -> None:
    _try(target, operation_id, examples=5)


@pytest.mark.soak
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_many_requests_by_the_document_are_answered_by_it(
    target: Target, operation_id: str
) -> None:
    _try(target, operation_id, examples=400)
