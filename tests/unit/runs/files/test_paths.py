"""Paths that come from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.files.paths import UnsafePathError, path_parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("proposal.md", ("proposal.md",)),
        ("specs/fees/spec.md", ("specs", "fees", "spec.md")),
        ("./specs//fees/./spec.md", ("specs", "fees", "spec.md")),
        (".openspec.yaml", (".openspec.yaml",)),
        ("specs/zürich/spec.md", ("specs", "zürich", "spec.md")),
        ("a..b/..c", ("a..b", "..c")),
    ],
)
def test_paths_below_the_folder(path: str, parts: tuple[str, ...]) -> None:
    assert path_parts(path) == parts


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "./",
        "specs/",
        "..",
        "../proposal.md",
        "specs/../../other/proposal.md",
        "a/..",
        "/etc/passwd",
        "//etc/passwd",
        "..\\proposal.md",
        "C:\\Windows",
        "a\0b",
        "a\nb",
        "a\ud800b",
        "\u202egpj.md",
        "x" * 300,
        "/".join("abcdefghijklmnopqrst"),
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(UnsafePathError) as caught:
        path_parts(path)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 700


@given(st.text())
def test_no_accepted_path_leads_out(path: str) -> None:
    try:
        parts = path_parts(path)
    except UnsafePathError:
        return
    assert parts
    assert not {"", ".", ".."} & set(parts)
    assert not any("/" in part or "\0" in part for part in parts)
    assert path_parts("/".join(parts)) == parts
