"""Places outside: real directories and a real HTTP server that does not always answer."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from rtserver.audit.checkpoints import outside as module
from rtserver.audit.checkpoints.metrics import CheckpointMetrics
from rtserver.audit.checkpoints.outside import (
    DirectoryPlace,
    NotPlacedError,
    Outside,
    Place,
    WitnessPlace,
    try_directory,
)
from rtserver.lib.tasks import TaskOwner
from rtserver.observe.metrics import MetricsRegistry
from tests.support.recorder import LogRecorder
from tests.support.waiting import until

TREE = "audit/host.5b0c/order/e0e0-1"


class Witness:
    """An HTTP server that is sent notes.

    Attributes:
        got: what it took.
        status: what it answers.
        answers: whether it does.
    """

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.status = 200
        self.answers = asyncio.Event()
        self.answers.set()
        self.url = ""


@asynccontextmanager
async def _witness() -> AsyncIterator[Witness]:
    witness = Witness()

    class Handler(RequestHandler):
        async def post(self) -> None:
            await witness.answers.wait()
            self.set_status(witness.status)
            if witness.status == 302:
                self.set_header("Location", "/elsewhere")
            elif witness.status == 200:
                witness.got.append((self.request.headers["X-Tree"], self.request.body.decode()))

    sock, port = bind_unused_port()
    server = HTTPServer(Application([("/notes", Handler)], log_function=lambda _: None))
    server.add_sockets([sock])
    witness.url = f"http://127.0.0.1:{port}/notes?key=hidden"
    try:
        yield witness
    finally:
        witness.answers.set()
        server.stop()
        await server.close_all_connections()


@asynccontextmanager
async def _feeding(*places: Place) -> AsyncIterator[Outside]:
    outside = Outside(list(places), CheckpointMetrics(MetricsRegistry()))
    tasks = TaskOwner()
    outside.start(tasks)
    try:
        yield outside
    finally:
        await tasks.stop()
        outside.close()


@pytest.mark.gen_test
async def test_the_newest_of_each_tree_is_in_a_directory_and_at_a_witness(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "outside"
    async with (
        _witness() as witness,
        _feeding(DirectoryPlace(directory), WitnessPlace(witness.url)) as outside,
    ):
        for number in range(3):
            outside.put({TREE: f"note {number} \u2014\n", "audit/host.5b0c": "chain\n"})
            assert await outside.drain(10)
        assert await outside.drain(0)
    files = {path.name: path.read_text() for path in directory.iterdir()}
    assert files == {
        "audit_host.5b0c_order_e0e0-1.note": "note 2 \u2014\n",
        "audit_host.5b0c.note": "chain\n",
    }
    assert witness.got[-2:] == [(TREE, "note 2 \u2014\n"), ("audit/host.5b0c", "chain\n")]


@pytest.mark.gen_test
async def test_a_witness_that_hangs_holds_nothing_up_and_gets_the_newest_alone(
    tmp_path: Path, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("audit_checkpoint_not_placed")
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.01)
    async with _witness() as witness:
        witness.answers.clear()
        places = DirectoryPlace(tmp_path), WitnessPlace(witness.url, timeout_s=0.2)
        async with _feeding(*places) as outside:
            for number in range(50):
                outside.put({TREE: f"{number}"})
            # One is under way, and of the others the newest waits.
            await until(lambda: any(tmp_path.glob("*.note")), "it is in the directory")
            assert not await outside.drain(0)
            await until(
                lambda: any(line["event"] == "audit_checkpoint_not_placed" for line in logs.lines),
                "the witness is given up",
            )
            witness.answers.set()
            assert await outside.drain(10)
            assert witness.got[-1] == (TREE, "49")
            assert len(witness.got) < 10
    assert "hidden" not in str(logs.lines)
    assert any(line["event"] == "audit_checkpoint_place_works_again" for line in logs.lines)


@pytest.mark.parametrize("status", [302, 403, 500])
@pytest.mark.gen_test
async def test_what_is_no_success_is_none(status: int) -> None:
    async with _witness() as witness:
        witness.status = status
        place = WitnessPlace(witness.url)
        with pytest.raises(NotPlacedError, match=str(status)):
            await place.put(TREE, "note")
        place.close()


@pytest.mark.gen_test
async def test_a_directory_that_hangs_is_written_to_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    place = DirectoryPlace(tmp_path, timeout_s=0.05)
    write = place._write_file

    def hang(tree: str, note: str) -> None:
        goes_on.wait()
        write(tree, note)

    monkeypatch.setattr(place, "_write_file", hang)
    try:
        with pytest.raises(NotPlacedError, match="in time"):
            await place.put(TREE, "1")
        with pytest.raises(NotPlacedError, match="does not answer"):
            await place.put(TREE, "2")
    finally:
        goes_on.set()
    await until(lambda: any(tmp_path.glob("*.note")), "the first is there after all")


@pytest.mark.gen_test
async def test_a_fault_of_a_place_is_told_and_tried_again(
    logs: LogRecorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logs.expect("audit_checkpoint_not_placed", "audit_checkpoint_place_fails")
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.01)
    place = DirectoryPlace(tmp_path)
    put = place.put

    async def broken(_tree: str, _note: str) -> None:
        monkeypatch.setattr(place, "put", put)
        raise KeyError("x")

    monkeypatch.setattr(place, "put", broken)
    async with _feeding(place) as outside:
        outside.put({TREE: "1"})
        assert await outside.drain(10)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["1"]  # noqa: ASYNC240


@pytest.mark.gen_test
async def test_places_that_are_not_there_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotPlacedError, match="directory"):
        await DirectoryPlace(tmp_path / "file" / "x").put(TREE, "note")
    place = WitnessPlace("http://127.0.0.1:1/")
    with pytest.raises(NotPlacedError, match="ConnectionRefused"):
        await place.put(TREE, "note")
    place.close()
    assert try_directory(tmp_path / "new") is None
    problem = try_directory(tmp_path / "file" / "x")
    assert problem is not None
    assert "can't be kept" in problem
