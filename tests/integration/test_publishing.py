"""Services publish over HTTP: durable when answered, once for each Idempotency-Key."""

import asyncio
import itertools

import pytest

from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.sockets import seq_of, session
from tests.support.tokens import token


@pytest.mark.gen_test
async def test_same_key_stores_once_on_any_worker(pair: Pair, project: str) -> None:
    path, body = f"/api/v1/projects/{project}/events", {"type": "a.b", "data": 1}
    async with (
        api(pair.one.address) as one,
        api(pair.other.address) as other,
        api(pair.other.address, user="another") as another,
        session(pair.one.address, project) as client,
    ):
        headers = {"Idempotency-Key": "k1"}
        answers = await asyncio.gather(
            *((one, other)[n % 2].http.post(path, json=body, headers=headers) for n in range(8))
        )
        assert {answer.status_code for answer in answers} == {201}
        (event_id,) = {answer.json()["id"] for answer in answers}
        replayed = [answer for answer in answers if "Idempotency-Replayed" in answer.headers]
        assert len(replayed) == 7

        conflict = await other.http.post(path, json={**body, "data": 2}, headers=headers)
        assert conflict.status_code == 422
        assert conflict.json()["reason"] == "key_reused"
        # Keys are each service's and each project's own.
        second = await another.http.post(path, json=body, headers=headers)
        assert second.json()["id"] != event_id
        await one.post(f"/api/v1/projects/{project}.2/events", body, headers=headers)
        await one.publish(project, "end")
        events = await client.recv_events(3)
        assert [event["data"] for event in events] == [1, 1, "end"]


@pytest.mark.gen_test
@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tkey"])
async def test_keys_that_cannot_be(pair: Pair, project: str, key: str) -> None:
    async with api(pair.one.address) as service:
        await service.post(
            f"/api/v1/projects/{project}/events",
            {"type": "a.b"},
            400,
            headers={"Idempotency-Key": key},
        )


@pytest.mark.gen_test
async def test_only_services_of_the_project_publish(pair: Pair, project: str) -> None:
    path, body = f"/api/v1/projects/{project}/events", {"type": "a.b"}
    async with api(pair.one.address, "ada", roles=()) as person:
        assert (await person.post(path, body, 403))["reason"] == "forbidden"
    elsewhere = token("svc", "another", roles=("service",))
    async with api(pair.one.address, token=elsewhere) as service:
        assert (await service.post(path, body, 403))["reason"] == "forbidden"
    async with api(pair.one.address, token="nonsense") as nobody:
        answer = await nobody.http.post(path, json=body)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.gen_test
async def test_batch_is_stored_next_to_each_other(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as one, api(pair.other.address) as other:
        batches = await asyncio.gather(
            *((one, other)[n % 2].publish_many(project, 50) for n in range(10))
        )
        numbers = [[seq_of(event_id) for event_id in batch] for batch in batches]
        for batch in numbers:
            assert batch == list(range(batch[0], batch[0] + 50))
        assert sorted(itertools.chain(*numbers)) == list(range(1, 501))
        await one.post(
            f"/api/v1/projects/{project}/events", {"events": [{"type": "a.b"}] * 501}, 422
        )


@pytest.mark.gen_test
async def test_history_goes_on_where_it_stopped(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        ids = await service.publish_many(project, 25)
        path = f"/api/v1/projects/{project}/events"
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = await service.get(path, params={"limit": 10, **after})
            seen += [event["id"] for event in page["events"]]
            assert page["lost"] == 0
            after = {"after": page["position"]}
            if not page["more"]:
                break
        assert seen == ids
        assert page["position"] == ids[-1]
        snapshot = await service.get(f"/api/v1/projects/{project}")
        assert snapshot["position"] == ids[-1]
        await service.get(path, 409, params={"after": "zzzzzzzz-1"})
        await service.get(path, 400, params={"after": "nonsense"})


@pytest.mark.gen_test
async def test_a_service_publishes_on_a_socket(pair: Pair, project: str) -> None:
    service = token("svc", project, roles=("service",))
    count = 300
    async with (
        session(pair.other.address, project) as viewer,
        session(pair.one.address, project, token=service) as publisher,
        api(pair.one.address, "svc") as by_request,
    ):
        for number in range(count):
            event = {"type": "a.b", "data": number}
            await publisher.send({"type": "publish", "event": event, "request_id": number})
        answers: dict[int, str] = {}
        while len(answers) < count:
            ack = await publisher.recv_type("ack")
            answers |= {entry["request_id"]: entry["id"] for entry in ack["published"]}
        events = await viewer.recv_events(count)
        assert [event["data"] for event in events] == list(range(count))
        assert [event["id"] for event in events] == [answers[number] for number in range(count)]
        assert {event["actor"] for event in events} == {"svc"}

        event = {"type": "a.b", "data": "once"}
        ack = await publisher.ask("publish", event=event, idempotency_key="k")
        headers = {"Idempotency-Key": "k"}
        path = f"/api/v1/projects/{project}/events"
        answer = await by_request.http.post(path, json=event, headers=headers)
        assert answer.json()["id"] == ack["published"][0]["id"]
        assert "Idempotency-Replayed" in answer.headers
        error = await viewer.ask("publish", event=event)
        assert (error["type"], error["reason"]) == ("error", "forbidden")
