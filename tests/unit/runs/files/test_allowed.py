"""Which files may be written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.files.allowed import AllowedPaths, folded, pattern_parts
from rtserver.runs.files.paths import UnsafePathError

STANDARD = AllowedPaths("c1")
ANYTHING = AllowedPaths("c1", (("**", "*"),), "its schema is loose")


@pytest.mark.parametrize(
    "path",
    [
        "proposal.md",
        "design.md",
        "tasks.md",
        "specs/fees/spec.md",
        "specs/identity/user-auth/spec.md",
        "specs/notes.md",
        "specs/zürich/spec.md",
        "specs/図書館/spec.md",
        "specs/книга/spec.md",
        "specs/a b & c/spec v2.1.md",
        "specs/console/auxiliary.md",
    ],
)
def test_what_may_be_written(path: str) -> None:
    assert "/".join(STANDARD.parts(path)) == path
    assert "/".join(ANYTHING.parts(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "AGENTS.md",
        "notes.md",
        "proposal.md/x.md",
        "Proposal.md",
        "PROPOSAL.MD",
        "specs/fees/spec.MD",
        "proposal.md.sh",
        "specs/run.sh",
        "specs/fees/spec.md/run",
        "specs",
        "Specs/fees/spec.md",
        "openspec/changes/c2/proposal.md",
        "openspec/specs/fees/spec.md",
        "openspec/config.yaml",
        "c2/proposal.md",
    ],
)
def test_what_no_schema_names(path: str) -> None:
    for ask in (STANDARD.parts, STANDARD.meant):
        with pytest.raises(UnsafePathError, match=r"proposal\.md, design\.md, tasks\.md, specs"):
            ask(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../c2/proposal.md",
        "specs/../../../config.yaml",
        "openspec/changes/c1/../c2/proposal.md",
        ".openspec.yaml",
        ".git/config",
        ".git/hooks/post-checkout.md",
        "specs/.git/config.md",
        "specs/a/.md",
        "specs/...md",
        "openspec/changes/c1/.openspec.yaml",
        "specs/a./spec.md",
        "specs/a /spec.md",
        "specs/ a/spec.md",
        "proposal.md.",
        "proposal.md ",
        "specs\\a\\spec.md",
        "specs/a\0.md",
        "specs/a\n.md",
        "specs/a\u200b.md",
        "specs/.\u200cgit/x.md",
        "specs/a\ufe0f.md",
        "specs/a\u3164.md",
        "specs/\uff0egit/x.md",
        "specs/\u2024git/x.md",
        "specs\uff0fa/spec.md",
        "specs/\ufb01ne.md",
        "specs/fe\u0435s/spec.md",
        "specs/\u03bfpen/spec.md",
        "specs/a:b.md",
        "proposal.md:stream",
        "specs/con/spec.md",
        "specs/NUL.md",
        "specs/com1.x.md",
        "specs/Aux .md",
        "specs/git~1/x.md",
        "specs/a*.md",
        "specs/a|b.md",
    ],
)
def test_what_no_schema_can_allow(path: str) -> None:
    for allowed in (STANDARD, ANYTHING):
        for ask in (allowed.parts, allowed.meant):
            with pytest.raises(UnsafePathError) as caught:
                ask(path)
            assert str(caught.value).isascii()
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "design.md",
        "./design.md",
        "openspec/changes/c1/design.md",
        "./openspec//changes/./c1/design.md",
        "changes/c1/design.md",
        "c1/design.md",
    ],
)
def test_a_path_from_further_up_is_taken_as_meant(path: str) -> None:
    assert STANDARD.meant(path) == "design.md"
    if path.strip("./") != "design.md":
        with pytest.raises(UnsafePathError):
            STANDARD.parts(path)


def test_a_change_that_is_named_like_a_folder() -> None:
    specs = AllowedPaths("specs")
    assert specs.meant("specs/fees/spec.md") == "specs/fees/spec.md"
    assert specs.meant("specs/design.md") == "specs/design.md"
    assert specs.meant("specs/specs/fees/spec.md") == "specs/specs/fees/spec.md"
    assert specs.meant("openspec/changes/specs/specs/fees/spec.md") == "specs/fees/spec.md"


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("notes.md", "notes.md", True),
        ("notes.md", "a/notes.md", False),
        ("./docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/a/b.md", False),
        ("docs/**/*.md", "docs/b.md", True),
        ("docs/**/*.md", "docs/a/b/c.md", True),
        ("docs/**", "docs/a/b", True),
        ("docs/?.md", "docs/ab.md", False),
        ("**/*.feature", "x/y.feature", True),
        ("**/a/**/b", "a/x/a/b", True),
        ("**/a/**/b", "x/b", False),
    ],
)
def test_what_a_schema_names(pattern: str, path: str, fits: bool) -> None:
    parts = pattern_parts(pattern)
    assert parts is not None
    allowed = AllowedPaths("c1", (parts,), "its schema is custom")
    if fits:
        assert "/".join(allowed.parts(path)) == path
    else:
        with pytest.raises(UnsafePathError, match="its schema is custom"):
            allowed.parts(path)


@pytest.mark.parametrize(
    "pattern",
    ["", ".", "/a", "../a", "a/../b", ".git/*", "a/.b", "a\\b", "a\nb", "a//b", "a/" * 20 + "b"],
)
def test_patterns_that_are_never_followed(pattern: str) -> None:
    assert pattern_parts(pattern) is None


@given(st.text())
def test_what_is_accepted_has_no_second_meaning(path: str) -> None:
    with contextlib.suppress(UnsafePathError):
        parts = ANYTHING.parts(path)
        assert ANYTHING.parts("/".join(parts)) == parts
        assert not any(part[0] == "." or part[-1] in ". " for part in parts)
        assert not set("/\\\0:").intersection(*parts)


def test_folded_names() -> None:
    assert folded("Spec.MD") == folded("spec.md")
    assert folded("z\u00fcrich") == folded("Zu\u0308rich")
    assert folded("stra\u00dfe") == folded("STRASSE")
    assert folded("a") != folded("b")
