import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtserver.audit.archive.file import (
    TornFileError,
    archive_files,
    file_name,
    gap_line,
    hour_of,
    member,
    position_of,
    read_lines,
    scan,
)
from rtserver.model.positions import Position

HOUR = int(datetime(2026, 1, 31, 14, tzinfo=UTC).timestamp()) // 3600


def _line(seq: int) -> bytes:
    return b'{"id":"e0e0-%d","type":"audit","action":"lock.acquired"}' % seq


def _three_members() -> list[bytes]:
    numbers = iter(range(1, 100))
    return [member([_line(next(numbers)) for _ in range(count)]) for count in (3, 1, 4)]


def test_an_hour_has_its_name() -> None:
    assert file_name(HOUR) == "audit-2026-01-31T14Z.jsonl.gz"
    assert hour_of("audit-2026-01-31T14Z.jsonl.gz") == HOUR
    names = [file_name(hour) for hour in range(HOUR - 5000, HOUR + 5000, 7)]
    assert names == sorted(names)


@pytest.mark.parametrize(
    "name",
    [
        "archive.json",
        "audit-2026-13-31T14Z.jsonl.gz",
        "audit-2026-01-31T14Z.jsonl.gz.torn-3",
        "lock",
    ],
)
def test_other_files_are_none_of_the_archive(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / file_name(HOUR)).touch()
    assert archive_files(tmp_path) == [tmp_path / file_name(HOUR)]


def test_members_are_one_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / file_name(HOUR)
    path.write_bytes(b"".join(_three_members()))
    expected = [_line(seq) for seq in range(1, 9)]
    assert list(read_lines(path)) == expected
    assert gzip.decompress(path.read_bytes()).split(b"\n") == [*expected, b""]
    found = scan(path)
    assert (found.torn_bytes, found.last, found.salvaged) == (0, _line(8), [])


def test_a_file_that_was_packed_anew_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / file_name(HOUR)
    path.write_bytes(gzip.compress(b"".join(_line(seq) + b"\n" for seq in range(1, 20_001))))
    assert list(read_lines(path)) == [_line(seq) for seq in range(1, 20_001)]
    assert scan(path).last == _line(20_000)


def test_wherever_a_file_is_cut_its_whole_members_are_read(tmp_path: Path) -> None:
    path = tmp_path / file_name(HOUR)
    members = _three_members()
    data = b"".join(members)
    ends = [0, len(members[0]), len(members[0] + members[1]), len(data)]
    counts = [0, 3, 4, 8]
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        index = max(n for n, end in enumerate(ends) if end <= size)
        found = scan(path)
        assert found.end == ends[index]
        assert found.torn_bytes == size - ends[index]
        assert found.last == (_line(counts[index]) if index else None)
        assert found.salvaged == [
            _line(seq) for seq in range(counts[index] + 1, counts[index] + 1 + len(found.salvaged))
        ]
        if ends[index] == size:
            assert list(read_lines(path)) == [_line(seq) for seq in range(1, counts[index] + 1)]
        else:
            with pytest.raises(TornFileError) as error:
                list(read_lines(path))
            assert error.value.offset == ends[index]


def test_garbage_at_the_end_is_torn(tmp_path: Path) -> None:
    path = tmp_path / file_name(HOUR)
    data = b"".join(_three_members())
    path.write_bytes(data + bytes(512))
    found = scan(path)
    assert (found.end, found.torn_bytes, found.last) == (len(data), 512, _line(8))


def test_how_far_a_line_goes() -> None:
    assert position_of(_line(17)) == Position("e0e0", 17)
    gap = gap_line({"epoch": "e0e0", "reason": "overwritten", "before": 51})
    assert position_of(gap) == Position("e0e0", 50)
    for other in (b"", b"{", b"[]", b'{"type":"audit"}', b'{"type":"audit","id":"17"}'):
        assert position_of(other) is None
