from pathlib import Path

from store.mongod.log_file import last_words, open_log, rotate_log


def test_log_is_rotated_under_an_open_writer(tmp_path: Path) -> None:
    path = tmp_path / "mongod.log"
    with open_log(path) as log:
        log.write(b"x" * 100)
        assert not rotate_log(path, 100)
        log.write(b"y")
        assert rotate_log(path, 100)
        log.write(b"later")
    assert path.read_bytes() == b"later"
    assert (tmp_path / "mongod.log.1").read_bytes() == b"x" * 100 + b"y"
    assert path.stat().st_mode & 0o777 == 0o600


def test_last_words_prefer_errors_and_start_at_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "mongod.log"
    assert last_words(path, 0) == "no log was written"
    before = b'{"s":"F","msg":"of an earlier start"}\n'
    path.write_bytes(before + b'{"s":"I","msg":"Opening","attr":{"a":1}}\n')
    assert last_words(path, len(before)) == 'Opening {"a": 1}'
    with path.open("ab") as log:
        log.write(b'{"s":"E","msg":"Bad","attr":{"error":"E1"}}\n{"s":"I","msg":"Bye"}\n')
    assert last_words(path, len(before)) == 'Bad {"error": "E1"}'
    with path.open("ab") as log:
        log.write(b"\nloader: \xff\n[1]\n")
    assert last_words(path, len(before)) == 'Bad {"error": "E1"}\nloader: \ufffd\n[1]'
    path.write_bytes(b"")
    assert last_words(path, len(before)) == "its log is empty"
    path.write_bytes(
        b"/venv/mongod: /data/lib/libcurl.so.4: no version information available (required by /m)\n"
        b'{"s":"I","msg":"Opening"}\n'
    )
    assert last_words(path, 0).strip() == "Opening"
