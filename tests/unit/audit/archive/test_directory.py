import errno
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtserver.audit.archive.directory import (
    ArchiveDirectory,
    ArchiveFencedError,
    ForeignDirectoryError,
    try_out,
)
from rtserver.audit.archive.file import (
    archive_files,
    file_name,
    gap_line,
    member,
    position_of,
    read_lines,
)
from rtserver.audit.record.chain import hash_of
from rtserver.model.positions import Position

EPOCH = "e0e0"


def _line(seq: int) -> bytes:
    record: dict[str, object] = {"type": "audit", "n": seq, "action": "lock.acquired"}
    return json.dumps({"id": f"{EPOCH}-{seq}", **record, "hash": hash_of(record)}).encode()


def _lines(first: int, last: int) -> list[bytes]:
    return [_line(seq) for seq in range(first, last + 1)]


def _numbers(path: Path) -> list[int]:
    positions = [position_of(line) for file in archive_files(path) for line in read_lines(file)]
    return [position.seq for position in positions if position is not None]


def _holder(path: Path, term: int) -> ArchiveDirectory:
    directory = ArchiveDirectory(path)
    directory.state()
    directory.take(term, EPOCH)
    return directory


def test_an_empty_directory_is_made_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "archive"
    directory = ArchiveDirectory(path)
    state = directory.state()
    assert (state.term, state.epoch) == (0, "")
    assert ArchiveDirectory(path).state() == state
    assert directory.take(1, EPOCH).position is None
    assert (directory.state().archive_id, directory.state().term) == (state.archive_id, 1)


def test_each_hour_has_its_file_and_a_holder_goes_on_where_the_last_one_ended(
    tmp_path: Path,
) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    one.append(10, _lines(4, 4))
    one.append(12, _lines(5, 6))
    one.append(11, _lines(7, 7))  # the database's clock went back: files still don't overlap
    one.close()
    other = ArchiveDirectory(tmp_path)
    taken = other.take(2, EPOCH)
    assert taken.position == Position(EPOCH, 7)
    assert (taken.file, taken.torn_bytes) == (file_name(12), 0)
    other.append(12, _lines(8, 9))
    other.close()
    assert _numbers(tmp_path) == list(range(1, 10))
    assert [len(list(read_lines(file))) for file in archive_files(tmp_path)] == [4, 5]


def test_a_file_that_was_only_made_is_gone_on_with(tmp_path: Path) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    (tmp_path / file_name(11)).touch()
    taken = one.take(2, EPOCH)
    assert taken.position == Position(EPOCH, 3)
    one.append(11, _lines(4, 4))
    one.close()
    assert _numbers(tmp_path) == [1, 2, 3, 4]


def test_who_was_paused_and_wakes_up_writes_nothing_twice(tmp_path: Path) -> None:
    paused = _holder(tmp_path, 1)
    paused.append(10, _lines(1, 3))
    other = _holder(tmp_path, 2)
    other.append(10, _lines(4, 5))
    with pytest.raises(ArchiveFencedError):
        paused.append(10, _lines(4, 6))
    assert _numbers(tmp_path) == [1, 2, 3, 4, 5]
    other.append(10, _lines(6, 6))
    with pytest.raises(ArchiveFencedError):
        paused.take(2, EPOCH)
    for directory in (paused, other):
        directory.close()
    assert _numbers(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_who_was_paused_makes_no_file_for_the_next_hour(tmp_path: Path) -> None:
    paused = _holder(tmp_path, 1)
    paused.append(10, _lines(1, 3))
    other = _holder(tmp_path, 2)
    with pytest.raises(ArchiveFencedError):
        paused.append(11, _lines(4, 6))
    other.append(10, _lines(4, 4))
    for directory in (paused, other):
        directory.close()
    assert _numbers(tmp_path) == [1, 2, 3, 4]


def test_a_torn_end_is_put_aside_and_what_is_whole_in_it_kept(tmp_path: Path) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    one.close()
    path = tmp_path / file_name(10)
    whole = path.read_bytes()
    torn = member(_lines(4, 400))[:-2000]
    path.write_bytes(whole + torn)
    taken = one.take(2, EPOCH)
    assert taken.torn_bytes == len(torn)
    assert taken.salvaged > 100
    assert taken.position == Position(EPOCH, 3 + taken.salvaged)
    assert (tmp_path / f"{path.name}.torn-2").read_bytes() == torn
    one.append(10, _lines(4 + taken.salvaged, 500))
    one.close()
    assert _numbers(tmp_path) == list(range(1, 501))


@pytest.mark.parametrize("seq", [3, 5])
def test_of_a_torn_end_only_what_follows_is_kept(seq: int, tmp_path: Path) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    one.close()
    path = tmp_path / file_name(10)
    path.write_bytes(path.read_bytes() + member(_lines(seq, 400))[:-100])
    assert one.take(2, EPOCH).position == Position(EPOCH, 3)
    one.close()


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    before = (tmp_path / file_name(10)).read_bytes()
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            one.append(10, _lines(4, 6))
    assert (tmp_path / file_name(10)).read_bytes() == before
    one.append(10, _lines(4, 6))
    one.close()
    assert _numbers(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_what_is_no_archive_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "archive.json").write_text("[1]")
    with pytest.raises(ForeignDirectoryError, match="take another directory"):
        ArchiveDirectory(tmp_path).state()
    (tmp_path / "archive.json").unlink()
    (tmp_path / file_name(10)).write_bytes(member(_lines(1, 3)))
    with pytest.raises(ForeignDirectoryError, match="move the files away"):
        ArchiveDirectory(tmp_path).state()


def test_a_directory_is_tried_out(tmp_path: Path) -> None:
    assert try_out(tmp_path / "new") is None
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["archive.json", "lock"]
    (tmp_path / "file").touch()
    assert "can't be written to" in str(try_out(tmp_path / "file" / "archive"))


class _Worker:
    """One who archives an endless log, and may be at any point when another takes over."""

    def __init__(self, path: Path) -> None:
        self.directory = ArchiveDirectory(path)
        self.seq: int | None = None

    def take(self, term: int) -> None:
        taken = self.directory.take(term, EPOCH)
        self.seq = 0 if taken.position is None else taken.position.seq

    def append(self, hour: int, count: int) -> None:
        if self.seq is None:
            return
        try:
            self.directory.append(hour, _lines(self.seq + 1, self.seq + count))
            self.seq += count
        except ArchiveFencedError:
            self.seq = None


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 2), st.just(0)),
            st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 5)),
            st.tuples(st.just("hour"), st.just(0), st.just(0)),
            st.tuples(st.just("tear"), st.just(0), st.integers(1, 60)),
        ),
        max_size=25,
    )
)
def test_whoever_writes_when_the_archive_has_no_hole_and_no_double(
    steps: Sequence[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        workers = [_Worker(path) for _ in range(3)]
        workers[0].directory.state()
        term, hour, torn = 0, 100, False
        for what, who, count in steps:
            if what == "take":
                term += 1
                workers[who].take(term)
                torn = False
            elif what == "append" and not torn:
                workers[who].append(hour, count)
            elif what == "hour":
                hour += 1
            elif what == "tear" and archive_files(path) and not torn:
                newest = archive_files(path)[-1]
                newest.write_bytes(newest.read_bytes() + member(_lines(10**6, 10**6))[:count])
                torn = True
            if not torn:
                numbers = _numbers(path)
                assert numbers == list(range(1, len(numbers) + 1))
        for worker in workers:
            worker.directory.close()


def test_a_record_is_found_by_its_number_the_newest_where_there_are_several(
    tmp_path: Path,
) -> None:
    one = _holder(tmp_path, 1)
    one.append(10, _lines(1, 3))
    one.append(12, _lines(4, 6))
    again = _line(2).replace(b"lock.acquired", b"lock.released")
    one.append(13, [gap_line({"epoch": EPOCH, "reason": "log_went_back", "before": 2}), again])
    assert one.find(5) == _line(5)
    assert one.find(1) == _line(1)
    assert one.find(2) == again
    assert one.find(7) is None
    one.close()


def test_only_the_holder_follows_to_another_log(tmp_path: Path) -> None:
    one = _holder(tmp_path, 1)
    one.follow("f1f1")
    assert one.state().epoch == "f1f1"
    _holder(tmp_path, 2).close()
    with pytest.raises(ArchiveFencedError):
        one.follow("abab")
    one.close()
