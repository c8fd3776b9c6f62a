import errno
import fcntl
import os
from collections import deque
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.audit.record import spool as audit_spool
from rtserver.audit.record.spool import Batch, Spool, abandoned


def _batch(number: int, records: int = 1, size: int = 20) -> Batch:
    frame = len('{"":1}')
    names = [f"{number}-{n}".ljust(size - frame, "x") for n in range(records)]
    return Batch(f"k{number}", [f'{{"{name}":1}}' for name in names])


def _taken(spool: Spool) -> list[str]:
    keys = []
    while (batch := spool.first()) is not None:
        keys.append(batch.key)
        if spool.take():
            spool.trim()
    return keys


def _files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.jsonl"))


def test_first_in_is_first_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    for number in range(5):
        spool.append(_batch(number))
    assert spool.pending == 5
    assert spool.pending_bytes == sum(file.stat().st_size for file in _files(tmp_path))
    assert _taken(spool) == [f"k{number}" for number in range(5)]
    assert (spool.pending, spool.pending_bytes) == (0, 0)
    spool.close()


def test_nothing_is_left_where_everything_was_delivered(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    _taken(spool)
    spool.close()
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_into_memory_is_read_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_spool, "MEMORY_BYTES", 100)
    monkeypatch.setattr(audit_spool, "SEGMENT_BYTES", 200)
    spool = Spool(tmp_path, "c1")
    for number in range(50):
        spool.append(_batch(number))
    assert spool.first_held() is None
    assert len(_files(tmp_path)) > 5
    assert _taken(spool) == [f"k{number}" for number in range(50)]
    assert len(_files(tmp_path)) == 1, "segments go as they are delivered"
    spool.append(_batch(99))
    assert spool.first_held() is not None, "back in memory after it was empty"
    spool.close()


def test_the_file_shrinks_when_all_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_spool, "RESET_BYTES", 1000)
    spool = Spool(tmp_path, "c1")
    for number in range(200):
        spool.append(_batch(number))
        _taken(spool)
    assert sum(file.stat().st_size for file in _files(tmp_path)) <= 1100
    spool.close()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 3), st.integers(1, 300)), min_size=1, max_size=80
    )
)
def test_any_order_of_appending_and_taking_keeps_the_queue(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    model: deque[Batch] = deque()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_spool, "MEMORY_BYTES", 500)
        patch.setattr(audit_spool, "SEGMENT_BYTES", 700)
        patch.setattr(audit_spool, "RESET_BYTES", 300)
        spool = Spool(directory, "c1")
        for number, (adds, records, size) in enumerate(steps):
            if adds:
                model.append(_batch(number, records, size))
                spool.append(model[-1])
            elif model:
                assert spool.first() == model.popleft()
                if spool.take():
                    spool.trim()
            assert spool.pending == len(model)
        left = [batch.key for batch in model]
        spool.close()
        found = list(abandoned(directory))
        # What was delivered but not yet trimmed may be there again, in front; never behind.
        keys = [batch.key for queue in found for batch in queue.batches()]
        assert keys[len(keys) - len(left) :] == left
        for queue in found:
            queue.remove()
    assert not list(directory.iterdir())


def test_a_living_owners_queue_is_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    assert not list(abandoned(tmp_path))
    spool.close()
    (queue,) = abandoned(tmp_path)
    assert not list(abandoned(tmp_path)), "it has an owner again"
    queue.release()
    (again,) = abandoned(tmp_path)
    assert [batch.key for batch in again.batches()] == ["k1"]
    again.remove()
    assert not list(abandoned(tmp_path))


def test_a_queue_that_is_being_made_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that started at the same time was quicker, and this one ended."""
    flock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        assert not list(abandoned(tmp_path))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    spool = Spool(tmp_path, "c1")
    assert fcntl.flock is flock
    assert not list(abandoned(tmp_path))
    spool.close()
    assert not list(tmp_path.iterdir())


def test_a_queue_that_another_worker_removed_meanwhile_is_not_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    spool.close()
    (other,) = abandoned(tmp_path)
    flock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        """The other worker is done between the opening of the lock's file and its locking."""
        monkeypatch.setattr(fcntl, "flock", flock)
        other.remove()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    assert not list(abandoned(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_torn_line_at_the_end_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    spool.append(_batch(2))
    spool.close()
    (file,) = _files(tmp_path)
    file.write_bytes(file.read_bytes()[:-7])
    (queue,) = abandoned(tmp_path)
    assert [batch.key for batch in queue.batches()] == ["k1"]
    queue.remove()


def test_what_an_earlier_version_left_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    spool.close()
    (file,) = _files(tmp_path)
    file.write_bytes(msgspec.json.encode({"key": "k1", "records": _batch(1, 3).records}) + b"\n")
    (queue,) = abandoned(tmp_path)
    assert list(queue.batches()) == [_batch(1, 3)]
    queue.remove()


def test_a_record_is_read_back_as_it_was_sealed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "c1")
    batch = Batch('k"1', ['{"a":"\\u2028 ü \\" \\\\","b":[1, 2]}', '{"hash":"0"}'])
    spool.append(batch)
    spool.close()
    (queue,) = abandoned(tmp_path)
    assert list(queue.batches()) == [batch]
    queue.remove()


def test_there_is_nothing_to_adopt_where_there_is_no_directory(tmp_path: Path) -> None:
    assert not list(abandoned(tmp_path / "none"))


def test_a_full_disk_leaves_the_queue_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "c1")
    spool.append(_batch(1))
    write = os.write
    half_written = False

    def short(fd: int, data: bytes) -> int:
        nonlocal half_written
        if half_written:
            raise OSError(errno.ENOSPC, "No space left on device")
        half_written = True
        return write(fd, data[:10])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        spool.append(_batch(2))
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(audit_spool, "MEMORY_BYTES", 0)
    spool.append(_batch(3))
    assert _taken(spool) == ["k1", "k3"]
    spool.close()


def test_syncing_reaches_every_segment_that_is_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_spool, "SEGMENT_BYTES", 100)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool = Spool(tmp_path, "c1")
    for number in range(6):
        spool.append(_batch(number))
    spool.sync()
    assert len(synced) == len(_files(tmp_path))
    spool.sync()
    assert len(synced) == len(_files(tmp_path)), "nothing new to sync"
    spool.append(_batch(7))
    spool.sync()
    assert len(synced) > len(_files(tmp_path)) - 1
    spool.close()
