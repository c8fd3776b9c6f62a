"""From a reply to the files that are written."""

import pytest

from rtserver.runs.files.allowed import AllowedPaths
from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import ProposalFiles, SeenFile, WorkspaceError
from rtserver.runs.iteration.changes import Changes, changes_of
from rtserver.runs.iteration.prompt import build_prompt
from rtserver.runs.iteration.reply_files import BadReplyError

BEFORE = {"proposal.md": "# Old\n", "specs/a/spec.md": "# A\n"}


def changes(
    reply: str, before: dict[str, str] = BEFORE, *, unread: tuple[str, ...] = (), odd: str = ""
) -> Changes:
    seen = {path: SeenFile(text, digest_of(text.encode())) for path, text in before.items()}
    files = ProposalFiles(
        seen,
        dict.fromkeys(unread, "too large"),
        frozenset({odd} - {""}),
        AllowedPaths("c1"),
    )
    prompt = build_prompt(
        proposal_id="c1",
        title="A title",
        files=files,
        findings=[],
        instruction="x",
        max_chars=10_000,
    )
    return changes_of(reply.replace("NONCE", prompt.nonce), files, prompt)


def given(path: str, text: str) -> str:
    return f'<file path="{path}">\n{text}</file>\n'


def test_what_differs_is_changed() -> None:
    found = changes(given("specs/a/spec.md", "# A\n") + given("./proposal.md", "# New\n"))
    assert found.paths == ["proposal.md"]
    assert found.texts == {"proposal.md": ("# Old\n", "# New\n")}
    assert found.files[0].old == digest_of(b"# Old\n")
    added = changes(given("design.md", "# D\n"))
    assert (added.files[0].old, added.texts) == (None, {"design.md": ("", "# D\n")})


def test_the_mark_of_the_prompt_is_the_one_that_counts() -> None:
    found = changes(
        given("proposal.md", "# Quoted\n") + '<file-NONCE path="design.md">\n# D\n</file-NONCE>\n'
    )
    assert found.paths == ["design.md"]


def test_line_ends_and_byte_order_marks_stay_as_they_are() -> None:
    crlf = {"proposal.md": "\ufeff# Old\r\ntext\r\n"}
    (file,) = changes(given("proposal.md", "# New\ntext\n"), crlf).files
    assert file.content == b"\xef\xbb\xbf# New\r\ntext\r\n"
    assert not changes(given("proposal.md", "# Old\ntext\n"), crlf).files
    assert not changes(given("proposal.md", "# Old\ntext\n").replace("\n", "\r\n"), crlf).files
    (file,) = changes(given("proposal.md", "\ufeff# New\r\n")).files
    assert file.content == b"# New\n"


def test_a_file_given_twice() -> None:
    one = given("proposal.md", "# New\n")
    assert changes(one + given("./proposal.md", "# New\n")).paths == ["proposal.md"]
    with pytest.raises(BadReplyError, match="twice"):
        changes(one + given("./proposal.md", "# Newer\n"))


def test_a_path_from_the_root_of_the_workspace() -> None:
    path = "openspec/changes/c1/design.md"
    assert changes(given(path, "# D\n")).paths == ["design.md"]
    assert changes(given(path, "# D\n") + given("design.md", "# D\n")).paths == ["design.md"]
    with pytest.raises(BadReplyError, match="twice"):
        changes(given(path, "# D\n") + given("design.md", "# E\n"))
    with pytest.raises(UnsafePathError):
        changes(given("openspec/changes/c2/design.md", "# D\n"))


def test_what_may_not_be_written_is_refused_also_where_it_would_stay_as_it_is() -> None:
    with pytest.raises(UnsafePathError):
        changes(given(".openspec.yaml", "schema: x\n"), {".openspec.yaml": "schema: x\n"})


def test_a_name_of_a_file_and_of_a_folder() -> None:
    with pytest.raises(BadReplyError, match="folder"):
        changes(given("specs/a.md", "x\n") + given("specs/a.md/b.md", "y\n"))


@pytest.mark.parametrize(
    "path",
    ["../a.md", "/etc/passwd", "", "a/../../b", ".openspec.yaml", ".git/config", "notes.md"],
)
def test_paths_that_may_not_be_written(path: str) -> None:
    with pytest.raises(UnsafePathError):
        changes(given("proposal.md", "# New\n") + given(path, "x\n"))


def test_what_the_model_has_not_seen() -> None:
    with pytest.raises(WorkspaceError) as caught:
        changes(given("tasks.md", "x\n"), unread=("tasks.md",))
    assert caught.value.reason == "not_shown"
    with pytest.raises(UnsafePathError, match="link"):
        changes(given("tasks.md", "x\n"), odd="tasks.md")
