"""Pipes that are read in one row, and know when they were full."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rtserver.runs.process.pipe import PIPE_BYTES, OutputPipe, OutputPipes


class Row:
    """What came, in order, of whichever pipe."""

    def __init__(self, slow: asyncio.Event | None = None) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.slow = slow

    def sink(self, name: str) -> "RowSink":
        return RowSink(self, name)


class RowSink:
    def __init__(self, row: Row, name: str) -> None:
        self._row, self._name = row, name

    async def take(self, data: bytes, *, is_all: bool) -> None:
        self._row.came.append((self._name, data))
        if self._row.slow is not None:
            await self._row.slow.wait()

    async def end(self) -> None:
        self._row.came.append((self._name, b""))


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 - what comes is not told to anybody
        await asyncio.sleep(0)


@contextmanager
def two_pipes() -> Iterator[OutputPipes]:
    pipes = OutputPipes(2)
    yield pipes
    pipes.close()


@pytest.mark.gen_test
async def test_what_came_while_a_sink_was_busy_is_in_the_order_in_which_it_came() -> None:
    slow = asyncio.Event()
    row = Row(slow)
    with two_pipes() as pipes:
        pump = asyncio.create_task(pipes.pump([row.sink("out"), row.sink("err")]))
        out, err = pipes.pipes
        for number in range(20):
            os.write((out, err)[number % 2].write_fd, b"%d" % number)
            for _ in range(3):
                await asyncio.sleep(0)
        slow.set()
        for pipe in pipes.pipes:
            pipe.close_write_end()
        await pump
        assert row.came[:20] == [(("out", "err")[n % 2], b"%d" % n) for n in range(20)]
        assert sorted(row.came[20:]) == [("err", b""), ("out", b"")]
        assert pipes.bytes == 30
        assert not any(pipe.may_have_lost for pipe in pipes.pipes)


@pytest.mark.gen_test
async def test_no_more_is_read_than_is_taken() -> None:
    slow = asyncio.Event()
    row = Row(slow)
    with two_pipes() as pipes:
        pump = asyncio.create_task(pipes.pump([row.sink("out"), row.sink("err")]))
        out, err = pipes.pipes
        os.set_blocking(out.write_fd, False)
        written = 0
        for _ in range(200):
            try:
                written += os.write(out.write_fd, b"x" * 65_536)
            except BlockingIOError:
                await asyncio.sleep(0)
        assert PIPE_BYTES <= written <= PIPE_BYTES + 512 * 1024
        err.close_write_end()
        slow.set()
        out.close_write_end()
        await pump
        assert sum(len(data) for _, data in row.came) == written
        assert out.may_have_lost, "nothing came after it was full"
        assert not err.may_have_lost


@pytest.mark.gen_test
async def test_a_pipe_that_others_hold_can_be_given_up() -> None:
    row = Row()
    with two_pipes() as pipes:
        pump = asyncio.create_task(pipes.pump([row.sink("out"), row.sink("err")]))
        out, err = pipes.pipes
        os.write(out.write_fd, b"last words")
        await until(lambda: bool(row.came))
        err.close_write_end()
        await until(lambda: row.came[-1] == ("err", b""))
        pipes.look()
        assert pipes.look() == [True, True]
        pipes.end(0)
        await pump
        assert row.came == [("out", b"last words"), ("err", b""), ("out", b"")]


def test_who_writes_on_as_soon_as_there_is_room_has_lost_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One byte more than a pipe holds, which comes between a read and the look at what is left."""
    pipe = OutputPipe()
    os.write(pipe.write_fd, b"x" * PIPE_BYTES)
    read = os.read

    def read_and_be_overtaken(fd: int, length: int) -> bytes:
        data = read(fd, length)
        if pipe.bytes == 0:
            os.write(pipe.write_fd, b"\n")
            pipe.close_write_end()
        return data

    monkeypatch.setattr(os, "read", read_and_be_overtaken)
    while pipe.read()[0]:
        pass
    pipe.has_ended = True
    assert pipe.bytes == PIPE_BYTES + 1
    assert not pipe.may_have_lost
    pipe.close()
