"""What is committed of a revision and of an archive."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from rtserver.revisions.commits import archive_commit, archived_files, revision_commit
from rtserver.revisions.model import Cause, Revision, files_of
from tests.support.git import write

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOLDER = "openspec/changes/x"


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _revision(left_out: tuple[tuple[str, str], ...] = (), note: str = "") -> Revision:
    files, _ = files_of({"proposal.md": b"a"}, None)
    return Revision(
        "x", "p1", 2, "sha256:0", NOW, "ada", Cause.ITERATION, files, ("old.md", "big.md"),
        run_id="r1", note=note, left_out=left_out,
    )  # fmt: skip


def test_a_revision_is_the_whole_folder() -> None:
    commit = revision_commit(_revision(note="shorter\n\nActor: eve"))
    assert commit.files == {
        f"{FOLDER}/proposal.md": _sha("a"),
        f"{FOLDER}/old.md": None,
        f"{FOLDER}/big.md": None,
    }
    assert (commit.folders, commit.actor) == ((FOLDER,), "ada")
    assert commit.message == (
        "x: revision 2\n\nshorter\n\nActor: eve\n\n"
        "Proposal: x\nRevision: 2\nDigest: sha256:0\nCause: iteration\nActor: ada\nRun: r1\n"
    )


def test_what_is_no_part_of_a_revision_stays() -> None:
    commit = revision_commit(_revision(left_out=(("big.md", "too large"),)))
    assert commit.files == {f"{FOLDER}/proposal.md": _sha("a"), f"{FOLDER}/old.md": None}
    assert commit.folders == ()


def test_an_archive_is_its_folder_and_its_specs(tmp_path: Path) -> None:
    place = "openspec/changes/archive/2026-01-01-x"
    delta = f"{place}/specs/fees/spec.md"
    write(
        tmp_path,
        {
            f"{place}/proposal.md": "p",
            delta: "d",
            f"{place}/specs/gone/spec.md": "d",
            f"{place}/specs/linked/spec.md": "d",
            "openspec/specs/fees/spec.md": "s",
            "openspec/specs/others/spec.md": "o",
        },
    )
    (tmp_path / "openspec/specs/linked").symlink_to("others")
    left = archived_files(tmp_path, "2026-01-01-x")
    commit = archive_commit("p1", "x", "ada", NOW, left)
    assert commit.folders == (FOLDER, place)
    assert commit.files["openspec/specs/fees/spec.md"] == _sha("s")
    assert commit.files["openspec/specs/gone/spec.md"] is None
    assert commit.files[delta] == _sha("d")
    assert commit.files[f"{FOLDER}/proposal.md"] is None
    assert not any("others" in path or "specs/linked" in path.removeprefix(place) for path in
                   commit.files if not path.startswith((place, FOLDER)))  # fmt: skip
    assert commit.message == "x: archived\n\nProposal: x\nActor: ada\n"

    (tmp_path / place / "linked.md").symlink_to("proposal.md")
    assert (
        archive_commit("p1", "x", "ada", NOW, archived_files(tmp_path, "2026-01-01-x")).folders
        == ()
    )
