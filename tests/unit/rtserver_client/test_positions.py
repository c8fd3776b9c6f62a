"""Where a reader has come to: `rtserver_client.positions`."""

from pathlib import Path

import pytest

from rtserver_client.positions import FilePositions, MemoryPositions


@pytest.mark.gen_test
async def test_a_file_keeps_the_newest_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    assert await FilePositions(path).load() is None
    positions = FilePositions(path)
    await positions.save("e-1")
    await positions.save("e-2")
    assert await FilePositions(path).load() == "e-2"


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["", "[]", '{"position": 1}', "e-1"])
async def test_a_file_of_something_else_is_not_taken_for_a_position(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "demo.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"no position|Expecting value"):
        await FilePositions(path).load()


@pytest.mark.gen_test
async def test_memory_begins_where_it_is_told() -> None:
    positions = MemoryPositions("e-7")
    assert await positions.load() == "e-7"
