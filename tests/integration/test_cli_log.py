"""`publish` and `tail` as an operator uses them."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from rtserver.cli.publish import PublishRequest, publish
from rtserver.cli.tail import tail
from rtserver.config.settings import Settings
from rtserver.eventlog.history import EventFilter
from rtserver.eventlog.publishing import PublishedEvent, UsersAudience
from rtserver.model.errors import InvalidError
from rtserver.model.positions import Position
from tests.integration.conftest import Pair
from tests.support.documents import check_frame
from tests.support.sockets import session


def _environ(pair: Pair, directory: Path) -> dict[str, str]:
    return {
        "RT_MONGODB_URI": str(pair.one.settings["mongodb_uri"]),
        "RT_MONGODB_DATABASE": str(pair.one.settings["mongodb_database"]),
        "RT_DATA_DIR": str(directory / "var"),
    }


class Operator:
    """Runs the commands within the test's process: a process each would take seconds."""

    def __init__(
        self,
        pair: Pair,
        directory: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._settings = Settings.load(_environ(pair, directory), {})
        self._stdin = directory / "stdin"
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    async def publish(
        self, project: str, event: PublishedEvent | str, key: str | None = None
    ) -> list[str]:
        """The ids that were printed; a text is what comes on standard input."""
        if isinstance(event, str):
            self._stdin.write_text(event)
            with self._stdin.open() as stdin:
                self._monkeypatch.setattr(sys, "stdin", stdin)
                assert await publish(self._settings, PublishRequest(project, None, key)) == 0
        else:
            assert await publish(self._settings, PublishRequest(project, event, key)) == 0
        return self._capsys.readouterr().out.splitlines()

    async def tail(
        self, project: str, begin: str | None = None, wanted: EventFilter | None = None
    ) -> list[str]:
        """The types of what is printed without following."""
        self._capsys.readouterr()
        position = None if begin is None else Position.parse(begin)
        await tail(self._settings, project, position, wanted or EventFilter(), follow=False)
        lines = self._capsys.readouterr().out.splitlines()
        frames = [json.loads(line) for line in lines]
        for frame in frames:
            check_frame(frame)
        return [frame["type"] for frame in frames]


@pytest.fixture
def operator(
    pair: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Operator:
    return Operator(pair, tmp_path, capsys, monkeypatch)


@pytest.mark.gen_test
async def test_one_event_for_some_users_once_for_a_key(
    pair: Pair, project: str, operator: Operator
) -> None:
    for_ada = PublishedEvent("a.b", {"n": 1}, "p", UsersAudience(["ada"]))
    for_ben = PublishedEvent("a.b", 2, None, UsersAudience(["ben"]))
    async with session(pair.other.address, project, user="ada") as client:
        [first] = await operator.publish(project, for_ada)
        once = await operator.publish(project, for_ben, "k")
        assert await operator.publish(project, for_ben, "k") == once
        [last] = await operator.publish(project, PublishedEvent("a.end"))
        frames = await client.recv_events(2)
        assert [frame["id"] for frame in frames] == [first, last]
        assert (frames[0]["data"], frames[0]["actor"]) == ({"n": 1}, "operator")


@pytest.mark.gen_test
async def test_a_file_in_batches_and_once_for_a_key(
    pair: Pair, project: str, operator: Operator
) -> None:
    lines = [json.dumps({"type": "build.line", "data": n}) for n in range(700)]
    lines[650:] = [json.dumps({"events": [json.loads(line) for line in lines[650:]]}), "", "  "]
    async with session(pair.other.address, project) as client:
        ids = await operator.publish(project, "\n".join(lines), "bulk")
        assert [one.rpartition("-")[2] for one in ids] == [str(n) for n in range(1, 701)]
        assert await operator.publish(project, "\n".join(lines), "bulk") == ids
        assert [frame["data"] for frame in await client.recv_events(700)] == list(range(700))
        await client.quiet()


@pytest.mark.gen_test
async def test_a_bad_line_is_named_and_what_came_before_it_is_stored(
    project: str, operator: Operator
) -> None:
    lines = '{"type":"a.c"}\n\n{"type":"output"}\n{"type":"a.d"}\n'
    with pytest.raises(InvalidError, match="line 3: event type 'output'"):
        await operator.publish(project, lines)
    assert await operator.tail(project) == ["a.c"]


@pytest.mark.gen_test
async def test_tail_narrowed(project: str, operator: Operator) -> None:
    events = [{"type": f"a.{'ox'[n % 2]}", "proposal_id": f"p{n % 3}"} for n in range(9)]
    ids = await operator.publish(project, "\n".join(map(json.dumps, events)))
    assert await operator.tail(project) == [event["type"] for event in events]
    assert await operator.tail(project, ids[6]) == ["a.x", "a.o"]
    odd = EventFilter(frozenset({"a.x"}))
    assert await operator.tail(project, None, odd) == ["a.x"] * 4
    of_two = EventFilter(frozenset({"a.*"}), frozenset({"p0", "p1"}))
    assert await operator.tail(project, ids[0], of_two) == ["a.x", "a.x", "a.o", "a.o", "a.x"]


@pytest.mark.gen_test
async def test_a_stream_is_published_as_it_comes(pair: Pair, project: str, tmp_path: Path) -> None:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("RT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rtserver", "publish", project, "-",
        env=inherited | _environ(pair, tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with session(pair.one.address, project) as client:
            for number in range(3):
                process.stdin.write(b'{"type":"a.b","data":%d}\n' % number)
                await process.stdin.drain()
                event_id = (await process.stdout.readline()).decode().strip()
                frame = await client.recv_type("a.b")
                assert (frame["id"], frame["data"]) == (event_id, number)
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
