"""Clients that nobody here wrote: sockjs-client and `eventsource` under Node, curl, requests."""

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.event_stream import events_path
from tests.support.line_process import LineProcess, line_process, node_client
from tests.support.nasty_texts import ATTACKS
from tests.support.processes import wait_until
from tests.support.publisher import Publisher
from tests.support.sockjs_polls import hello
from tests.support.tokens import token
from tests.support.workers import Worker, Workers

Matches = Callable[[dict[str, Any]], bool]
NODE_TRANSPORTS = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")


def test_sockjs_client_resumes_and_learns_why_it_is_closed(
    workers: Workers, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"lease_s": 60, "max_connections_per_project": 4}
    worker = workers.start(**settings)
    settings["port"] = worker.port
    with ExitStack() as stack:
        clients = {
            transport: stack.enter_context(
                line_process(_sockjs_client(worker, transport), tmp_path)
            )
            for transport in NODE_TRANSPORTS
        }
        for transport, client in clients.items():
            assert client.wait(_happened("open"))["transport"] == transport
            client.wait(_frame_of("welcome"))
        publisher = stack.enter_context(Publisher(lambda: worker.address, "p1"))
        _all_see(clients, publisher.count + 20)
        worker.terminate()
        for transport, client in clients.items():
            closing = client.wait(_frame_of("closing"))["frame"]
            assert (closing["code"], closing["reconnect"]) == (1001, True), transport
            client.wait(_happened("close"))
        assert worker.stop() == []
        # Every place was given back, or there would be no room for the same four.
        workers.start(**settings)
        _all_see(clients, publisher.count + 20)
        count = publisher.finish()
        _all_see(clients, count)
        for transport, client in clients.items():
            assert _numbers(client) == list(range(count)), transport


def test_sockjs_client_is_told_codes_on_every_transport(workers: Workers, tmp_path: Path) -> None:
    worker = workers.start(max_connections_per_user=1)
    with ExitStack() as stack:

        def start(transport: str, **changed: str) -> LineProcess:
            greeting = {**hello(user=f"user-{transport}"), **changed}
            command = _sockjs_client(worker, transport, greeting)
            return stack.enter_context(line_process(command, tmp_path))

        refused = [start(transport, token="no.to.ken") for transport in NODE_TRANSPORTS]
        replaced = [start(transport) for transport in NODE_TRANSPORTS]
        for client in replaced:
            client.wait(_frame_of("welcome"))
        for transport in NODE_TRANSPORTS:
            start(transport)
        for transport, client in zip(NODE_TRANSPORTS, refused, strict=True):
            assert client.wait(_happened("close"))["code"] == 4001, transport
        for transport, client in zip(NODE_TRANSPORTS, replaced, strict=True):
            closed = client.wait(_happened("close"))
            assert (closed["code"], "Replaced" in closed["reason"]) == (4009, True), transport


def test_eventsource_reconnects_and_resumes_by_itself(workers: Workers, tmp_path: Path) -> None:
    worker = workers.start()
    port = worker.port
    with Publisher(lambda: worker.address, "p1") as publisher:
        _propose(worker, "p1", "es-1")
        url = f"http://{worker.address}{events_path('es-1')}?token={token('ada')}"
        command = node_client("event_source.mjs", url, "test.event")
        with line_process(command, tmp_path) as client:
            welcome = client.wait(_event_of("welcome"))
            assert welcome["lastEventId"] == ""
            first = client.wait(_event_of("test.event"))["frame"]["data"]
            worker.kill()
            client.wait(_happened("error"))
            worker = workers.start(port=port)
            _sees(client, publisher.count + 20)
            count = publisher.finish()
            _sees(client, count)
            assert _numbers(client) == list(range(first, count))
            resumed = [line for line in client.lines() if _event_of("welcome")(line)][1:]
            # It may have come back before there was anything to replay.
            (resume,) = [line["frame"]["resume"] for line in resumed]
            assert resume["outcome"] in ("replayed", "nothing_missed")
            assert resume["lost"] == 0


def test_eventsource_gives_up_when_its_token_is_over(workers: Workers, tmp_path: Path) -> None:
    worker = workers.start()
    _propose(worker, "p1", "es-2")
    for ttl_s in (3, 12, 48):  # a busy machine may take longer to start the client
        url = f"http://{worker.address}{events_path('es-2')}?token={token('ada', ttl_s=ttl_s)}"
        with line_process(node_client("event_source.mjs", url), tmp_path) as client:
            client.wait(lambda line: _event_of("welcome")(line) or line.get("code") == 401)
            if not any(map(_event_of("welcome"), client.lines())):
                continue
            assert client.wait(_event_of("closing"))["frame"]["code"] == 4001
            # The server asks for a long wait before the next attempt, which would get 401.
            client.wait(_happened("error"))
            assert client.process.poll() is None
            return
    pytest.fail("the token was over before the client had started")


def test_curl_shows_events_as_they_come(workers: Workers, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    worker = workers.start()
    _propose(worker, "p1", "curl-1")
    url = f"http://{worker.address}{events_path('curl-1')}"
    bearer = f"Authorization: Bearer {token('ada')}"
    for version in ("--http1.1", "--http1.0"):
        command = [curl, "--silent", "--no-buffer", version, "--header", bearer, url]
        with (
            line_process(command, tmp_path) as client,
            Publisher(lambda: worker.address, "p1", interval_s=0.2) as publisher,
        ):
            _until(client, "event: welcome")
            for _ in range(3):
                # Not one that may have been stored before curl was there.
                _until(client, f'"data":{publisher.count + 1}')
            publisher.finish()
    for method, status in (("--head", "200"), ("--get", "401")):
        command = [curl, "--silent", method, "--write-out", "%{http_code}", "--output", "/dev/null"]
        command += ["--header", bearer] if status == "200" else []
        with line_process([*command, url], tmp_path) as client:
            _until(client, status)


def test_readers_of_whole_blocks_get_each_event_at_once(workers: Workers) -> None:
    """`requests` waits for 512 bytes, unless the response says by chunks what there is."""
    worker = workers.start()
    _propose(worker, "p1", "blocks-1")
    url = f"http://{worker.address}{events_path('blocks-1')}"
    with requests.Session() as http:
        http.trust_env = False
        bearer = {"Authorization": f"Bearer {token('ada')}"}
        with http.get(url, headers=bearer, stream=True, timeout=20) as answer:
            answer.encoding = "utf-8"
            frames = _frames_of(answer)
            while next(frames)["type"] != "presence":
                pass
            for text in ATTACKS:
                # The next is published only when this one is here: nothing may wait for more.
                _post(worker, "/api/v1/projects/p1/events", {"type": "test.event", "data": text})
                assert next(frames)["data"] == text
            worker.terminate()
            assert [frame["type"] for frame in frames] == ["closing"]  # and the end is a whole one


def _frames_of(answer: requests.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines(decode_unicode=True):
        name, _, value = str(line).partition(": ")
        assert name in ("", "id", "event", "data", "retry")
        if name == "data":
            yield json.loads(value)


def _sockjs_client(worker: Worker, transport: str, greeting: object = None) -> list[str]:
    said = hello(user=f"user-{transport}") if greeting is None else greeting
    url = f"http://{worker.address}/sockjs/projects"
    return node_client("sockjs_client.cjs", url, transport, json.dumps(said))


def _happened(what: str) -> Matches:
    return lambda line: line["happened"] == what


def _frame_of(kind: str) -> Matches:
    return lambda line: line["happened"] == "frame" and line["frame"]["type"] == kind


def _event_of(kind: str) -> Matches:
    return lambda line: line["happened"] == "event" and line["type"] == kind


def _numbers(client: LineProcess) -> list[int]:
    frames = [line["frame"] for line in client.lines() if "frame" in line]
    return [frame["data"] for frame in frames if frame["type"] == "test.event"]


def _sees(client: LineProcess, count: int) -> None:
    client.wait(lambda line: line.get("frame", {}).get("data") == count - 1, timeout_s=90)


def _all_see(clients: dict[str, LineProcess], count: int) -> None:
    for client in clients.values():
        _sees(client, count)


def _propose(worker: Worker, project_id: str, proposal_id: str) -> None:
    body = {"id": proposal_id, "title": proposal_id}
    _post(worker, f"/api/v1/projects/{project_id}/proposals", body)


def _post(worker: Worker, path: str, body: object) -> None:
    request = urllib.request.Request(
        f"http://{worker.address}{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token('ada', roles=('service',))}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 201


def _until(client: LineProcess, text: str) -> None:
    wait_until(lambda: text in client.text(), text, explain=client.text)
