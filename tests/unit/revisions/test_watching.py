from pathlib import Path

from watchfiles import Change

from rtserver.revisions.watching import folders_of, signatures


def test_which_changes_paths_belong_to(tmp_path: Path) -> None:
    paths = [
        "p1/openspec/changes/a/proposal.md",
        "p1/openspec/changes/a/specs/x/spec.md",
        "p2/openspec/changes/b",
        "p1/openspec/changes/archive/2026-01-01-c/proposal.md",
        "p1/openspec/specs/x/spec.md",
        "p1/.rtserver/a/file-0",
        "p1/openspec/changes/.hidden/x.md",
        "p1",
        ".",
    ]
    changed = [(Change.modified, str(tmp_path / path)) for path in paths]
    assert folders_of(changed, tmp_path) == [("p1", "a"), ("p2", "b")]


def test_a_signature_differs_with_what_is_in_a_folder(tmp_path: Path) -> None:
    change = tmp_path / "p1" / "openspec" / "changes" / "a"
    (change / "specs").mkdir(parents=True)
    (change / "proposal.md").write_text("one")
    (change.parent / "archive" / "old").mkdir(parents=True)
    (tmp_path / "p2").mkdir()
    (change.parent / "linked").symlink_to(change)

    def signature() -> int:
        found = dict(signatures(tmp_path))
        assert list(found) == [("p1", "a")]
        return found["p1", "a"]

    first = signature()
    assert signature() == first
    (change / "proposal.md").write_text("other")
    second = signature()
    (change / "specs" / "spec.md").write_text("x")
    third = signature()
    (change / "proposal.md").unlink()
    assert len({first, second, third, signature()}) == 4
    assert dict(signatures(tmp_path / "none")) == {}
