"""Reading a proposal's folder."""

import os
from pathlib import Path

import pytest

from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.read import (
    MAX_CONTENTS_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_FILES,
    SeenFile,
    WorkspaceError,
    read_proposal,
)


@pytest.fixture
def change(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "p1" / "openspec" / "changes" / "c1"
    folder.mkdir(parents=True)
    (tmp_path / "secret.md").write_text("secret", encoding="utf-8")
    return folder


def read(tmp_path: Path) -> dict[str, str]:
    found = read_proposal(tmp_path / "root", "p1", "c1")
    return {path: file.text for path, file in found.files.items()} | {
        path: f"UNREAD: {why}" for path, why in found.unread.items()
    }


def test_files_with_their_digests(change: Path, tmp_path: Path) -> None:
    (change / "specs" / "fees").mkdir(parents=True)
    (change / "specs" / "fees" / "spec.md").write_bytes("# Gebühren\r\n".encode())
    (change / "proposal.md").write_bytes(b"# Why\n")
    (change / ".openspec.yaml").write_bytes(b"schema: x\n")
    found = read_proposal(tmp_path / "root", "p1", "c1")
    assert list(found.files) == [".openspec.yaml", "proposal.md", "specs/fees/spec.md"]
    assert found.files["specs/fees/spec.md"] == SeenFile(
        "# Gebühren\r\n", digest_of("# Gebühren\r\n".encode())
    )
    assert found.unread == {}


def test_what_is_not_read_is_named(change: Path, tmp_path: Path) -> None:
    (change / "link.md").symlink_to(tmp_path / "secret.md")
    (change / "folder-link").symlink_to(tmp_path)
    os.mkfifo(change / "pipe")
    (change / "picture.png").write_bytes(b"\x89PNG\xff")
    (change / "large.md").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (change / os.fsdecode(b"name-\xff.md")).write_bytes(b"x")
    found = read(tmp_path)
    assert set(found) == {
        "link.md",
        "folder-link",
        "pipe",
        "picture.png",
        "large.md",
        "'name-\\udcff.md'",
    }
    assert all(text.startswith("UNREAD: it") for text in found.values())


def test_endless_folders_end(change: Path, tmp_path: Path) -> None:
    for number in range(MAX_FILES + 5):
        (change / f"{number:04}.md").touch()
    found = read_proposal(tmp_path / "root", "p1", "c1")
    assert len(found.files) == MAX_FILES
    assert list(found.unread) == ["..."]


def test_a_folder_of_many_names_does_not_take_the_place_of_the_files(
    change: Path, tmp_path: Path
) -> None:
    for number in range(MAX_ENTRIES + 10):
        (change / "a" / str(number)).mkdir(parents=True)
    (change / "proposal.md").write_text("# Why\n", encoding="utf-8")
    assert read(tmp_path) == {
        "proposal.md": "# Why\n",
        "...": f"UNREAD: the folder has {MAX_ENTRIES} names or more in it",
    }


def test_all_files_together_are_bounded(change: Path, tmp_path: Path) -> None:
    for number in range(20):
        (change / f"{number:02}.md").write_bytes(b"x" * MAX_FILE_BYTES)
    found = read_proposal(tmp_path / "root", "p1", "c1")
    assert len(found.files) == MAX_CONTENTS_BYTES // MAX_FILE_BYTES
    assert set(found.unread.values()) == {
        f"all files together have more than {MAX_CONTENTS_BYTES} bytes"
    }


@pytest.mark.parametrize(
    ("project_id", "proposal_id", "reason"),
    [("p2", "c1", "no_workspace"), ("p1", "c2", "no_such_proposal")],
)
def test_what_is_not_there(
    change: Path, tmp_path: Path, project_id: str, proposal_id: str, reason: str
) -> None:
    with pytest.raises(WorkspaceError) as caught:
        read_proposal(tmp_path / "root", project_id, proposal_id)
    assert caught.value.reason == reason


def test_no_workspaces_at_all(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        read_proposal(tmp_path / "nothing", "p1", "c1")
    assert caught.value.reason == "no_workspace"


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_link_on_the_way_is_not_followed(change: Path, tmp_path: Path, level: int) -> None:
    (change / "proposal.md").write_text("x", encoding="utf-8")
    where = [change.parents[2], change.parents[1], change.parents[0], change][level]
    moved = tmp_path / "elsewhere"
    where.rename(moved)
    where.symlink_to(moved)
    with pytest.raises(WorkspaceError) as caught:
        read_proposal(tmp_path / "root", "p1", "c1")
    assert caught.value.reason == "unsafe_path"
