from typing import Any

import pytest

from rtserver.eventlog.worker_messages import Control, sender_of
from rtserver.model.events import CONTROL_PROJECT
from tests.support.fakes import MemoryLog


class Worker:
    """A worker on a log, and what it did about messages.

    Attributes:
        done: the messages that it acted on, by what it was told to do.
    """

    def __init__(self, log: MemoryLog, worker_id: str) -> None:
        self.control = Control(log, worker_id=worker_id)
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.control.handle("close", self._handled)
        self.control.hear("presence", self._heard)

    async def _handled(self, message: dict[str, Any]) -> None:
        self.done.append(("handled", message))

    async def _heard(self, message: dict[str, Any]) -> None:
        self.done.append(("heard", message))


async def deliver(log: MemoryLog, *workers: Worker) -> None:
    """Let each worker read the newest message."""
    (event,) = log.packs[CONTROL_PROJECT][-1].events()
    for worker in workers:
        await worker.control.on_event(event)


@pytest.mark.gen_test
async def test_a_message_for_a_worker_is_acted_on_there_alone() -> None:
    log = MemoryLog()
    one, other = Worker(log, "w1"), Worker(log, "w2")
    await one.control.send("close", "w2", connection_id="c1")
    await deliver(log, one, other)
    assert one.done == []
    ((how, message),) = other.done
    assert (how, message["connection_id"]) == ("handled", "c1")


@pytest.mark.gen_test
async def test_a_message_to_all_is_heard_by_all_but_its_sender() -> None:
    log = MemoryLog()
    one, other = Worker(log, "w1"), Worker(log, "w2")
    await one.control.tell_all("presence", people=["ada"])
    await deliver(log, one, other)
    assert one.done == []
    ((how, message),) = other.done
    assert (how, message["people"], sender_of(message)) == ("heard", ["ada"], "w1")


@pytest.mark.gen_test
async def test_a_message_of_an_unknown_kind_does_nothing() -> None:
    log = MemoryLog()
    worker = Worker(log, "w1")
    await worker.control.send("of another version", "w1")
    await deliver(log, worker)
    assert worker.done == []
    assert sender_of({}) == ""
