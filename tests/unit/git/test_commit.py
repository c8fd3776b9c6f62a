"""What a commit does to a tree, and what git is told of it."""

from datetime import UTC, datetime

import pytest

from rtserver.git.commit import (
    Commit,
    Entry,
    Person,
    blob_oid,
    changes,
    entries,
    import_stream,
    index_lines,
    is_committable,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARENT = "1" * 40


def _commit(files: dict[str, bytes | None], *folders: str, message: str = "m") -> Commit:
    return Commit(Person.of("ada"), NOW, message, files, folders)


def _entry(content: bytes, mode: str = "100644") -> Entry:
    return Entry(mode, blob_oid(content, PARENT))


def test_a_folder_is_replaced_and_all_else_stays() -> None:
    tree = {
        "a/x": _entry(b"x"),
        "a/run": _entry(b"old", "100755"),
        "a/gone": _entry(b"gone"),
        "a/link": Entry("120000", "2" * 40),
        "a/module": Entry("160000", "3" * 40),
        "ab/x": _entry(b"beside"),
        "spec": _entry(b"spec"),
    }
    files = {"a/x": b"x", "a/run": b"new", "a/new": b"", "spec": None, "none": None}
    assert changes(_commit(files, "a"), tree, PARENT) == {
        "a/run": _entry(b"new", "100755"),
        "a/new": _entry(b""),
        "spec": None,
        "a/gone": None,
    }


def test_ids_of_contents_are_gits_own() -> None:
    # Of the empty blob in both formats of repositories, as git's documentation has them.
    assert blob_oid(b"", "0" * 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_oid(b"", "0" * 64) == (
        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
    )


@pytest.mark.parametrize(
    "name", [".git", ".GIT", ".git.", ".git ", "git~1", ".g\u200cit", ".git::$I"]
)
def test_no_repository_is_put_into_a_repository(name: str) -> None:
    for path in (f"a/{name}/config", f"{name}/x", f"a/{name}"):
        assert not is_committable(path)
        assert changes(_commit({path: b"x"}, "a"), {}, PARENT) == {}
    assert is_committable("a/.gitignore")


@pytest.mark.parametrize(
    ("user_id", "name", "mail"),
    [
        ("ada", "ada", "ada"),
        (None, "rtserver", "rtserver"),
        ("<>\n", "n", "rtserver"),
        ("x\ncommitter y <z> 0 +0000", "xncommitter y z 0 +0000", "x-committer-y-z-0-0000"),
        ("Ádá L.", "Ádá L", "d-L"),
        ("auth0|9", "auth0|9", "auth0-9"),
    ],
)
def test_no_name_ends_its_line(user_id: str | None, name: str, mail: str) -> None:
    assert Person.of(user_id) == Person(name, f"{mail}@users.rtserver.invalid")


def test_nothing_that_was_written_is_taken_for_a_command() -> None:
    files = {'a/"q"\\n': b"x\ndone\n", "a/old": None}
    commit = _commit(files, message="one\n\ncommit refs/heads/x\x1b")
    changed = {'a/"q"\\n': _entry(b"x\ndone\n"), "a/old": None}
    stream = import_stream(commit, changed, branch="refs/heads/main", parent=PARENT, now=NOW)
    assert b"".join(stream) == (
        b"feature done\ncommit refs/heads/main\nmark :1\n"
        b"author ada <ada@users.rtserver.invalid> 1767225600 +0000\n"
        b"committer rtserver <rtserver@users.rtserver.invalid> 1767225600 +0000\n"
        b"data 28\none\n\ncommit refs/heads/x\\x1b\nfrom " + PARENT.encode() + b"\n"
        b'D "a/old"\n'
        b'M 100644 inline "a/\\"q\\"\\\\n"\ndata 7\nx\ndone\n\nget-mark :1\ndone\n'
    )


def test_what_git_lists_and_takes() -> None:
    listed = b"100644 blob aa\ta/x\x00120000 blob bb\ta/\xff\0"
    assert entries(listed, oid_at=2) == {
        "a/x": Entry("100644", "aa"),
        "a/\udcff": Entry("120000", "bb"),
    }
    staged = b"100644 aa 0\tx\000100644 bb 2\ty\0"
    assert entries(staged, oid_at=1) == {"x": Entry("100644", "aa")}
    lines = index_lines({"x": Entry("100644", "aa"), "y": None})
    assert lines == b"0 " + b"0" * 40 + b" 0\ty\000100644 aa 0\tx\0"
