"""Which files the schema of a change names."""

from pathlib import Path

import pytest

from rtserver.runs.files.allowed import AllowedPaths
from rtserver.runs.files.folders import open_root
from rtserver.runs.files.schema import allowed_paths, shared_schema_folders
from tests.support.processes import ROOT

CHANGE = "openspec/changes/c1"


def schema(*generates: str) -> str:
    artifacts = "".join(
        f"  - id: a{n}\n    generates: {pattern}\n    description: x\n    template: t.md\n"
        for n, pattern in enumerate(generates)
    )
    return f"name: own\nversion: 1\nartifacts:\n{artifacts}"


OWN = schema("notes.md", '"docs/**/*.md"')


def allowed(root: Path, files: dict[str, str], *, shared: tuple[Path, ...] = ()) -> AllowedPaths:
    for path, text in {f"{CHANGE}/proposal.md": "# Why\n", **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    with open_root(root) as workspace, open_root(root / CHANGE) as folder:
        return allowed_paths("c1", workspace=workspace, folder=folder, shared=shared)


NAMED = [("notes.md",), ("docs", "**", "*.md")]


@pytest.mark.parametrize(
    "files",
    [
        {f"{CHANGE}/.openspec.yaml": "schema: own\n"},
        {f"{CHANGE}/.openspec.yaml": "schema: own.yaml\ncreated: 2026-01-01\n"},
        {"openspec/config.yaml": "schema: own\n"},
        {"openspec/config.yml": "schema: 'own'\n"},
        {f"{CHANGE}/.openspec.yaml": "schema: own\n", "openspec/config.yaml": "schema: none\n"},
    ],
)
def test_the_name_is_where_openspec_looks_for_it(tmp_path: Path, files: dict[str, str]) -> None:
    found = allowed(tmp_path, {"openspec/schemas/own/schema.yaml": OWN, **files})
    assert list(found.patterns) == NAMED
    assert found.note == "its schema is own"


def test_openspecs_own(tmp_path: Path) -> None:
    assert allowed(tmp_path, {}) == AllowedPaths("c1")
    bundled = shared_schema_folders(ROOT / "node_modules" / ".bin" / "openspec")
    found = allowed(tmp_path, {}, shared=bundled)
    assert set(found.names()) == set(AllowedPaths("c1").names())
    assert ("specs", "**", "*.md") in found.patterns
    assert shared_schema_folders(None) == bundled[:1]


def test_the_nearest_counts(tmp_path: Path) -> None:
    for place, pattern in (("one", "one.md"), ("two", "two.md")):
        (tmp_path / place / "own").mkdir(parents=True)
        (tmp_path / place / "own" / "schema.yaml").write_text(schema(pattern), encoding="utf-8")
    shared = (tmp_path / "nowhere", tmp_path / "one", tmp_path / "two")
    named = {"openspec/config.yaml": "schema: own\n"}
    found = allowed(tmp_path / "root", named, shared=shared)
    assert found.patterns == (("one.md",),)
    in_workspace = {"openspec/schemas/own/schema.yaml": schema("three.md")}
    found = allowed(tmp_path / "root", in_workspace, shared=shared)
    assert found.patterns == (("three.md",),)


def test_braces(tmp_path: Path) -> None:
    files = {
        "openspec/config.yaml": "schema: own\n",
        "openspec/schemas/own/schema.yaml": schema('"{a,b}/{c,d}.md"', '"e{f}.md"', "'{x,.y}'"),
    }
    found = {"/".join(pattern) for pattern in allowed(tmp_path, files).patterns}
    assert found == {"a/c.md", "a/d.md", "b/c.md", "b/d.md", "e{f}.md", "x"}


def test_what_leads_elsewhere_is_left_out(tmp_path: Path) -> None:
    files = {
        "openspec/config.yaml": "schema: own\n",
        "openspec/schemas/own/schema.yaml": schema("../x", "/etc/x", ".git/hooks/x", "a/.b", "c"),
    }
    assert allowed(tmp_path, files).patterns == (("c",),)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({f"{CHANGE}/.openspec.yaml": "schema: ../own\n"}, "name"),
        ({f"{CHANGE}/.openspec.yaml": "schema: .\n"}, "name"),
        ({f"{CHANGE}/.openspec.yaml": "schema: [own]\n"}, "name"),
        ({f"{CHANGE}/.openspec.yaml": "schema: none\n"}, "there is none"),
        ({f"{CHANGE}/.openspec.yaml": "schema: [own\n"}, "YAML"),
        ({f"{CHANGE}/.openspec.yaml": "schema: &a own\nx: *a\n"}, "alias"),
        ({"openspec/schemas/own/schema.yaml": "x" * 200_000}, "more than"),
        ({"openspec/schemas/own/schema.yaml": "[" * 50_000}, "deep"),
    ],
)
def test_a_schema_that_can_not_be_followed(tmp_path: Path, files: dict[str, str], why: str) -> None:
    ours = {"openspec/schemas/own/schema.yaml": OWN, "openspec/config.yaml": "schema: own\n"}
    found = allowed(tmp_path, {**ours, **files})
    assert found.patterns == ()
    assert why in found.note


@pytest.mark.parametrize("link", ["openspec/schemas/own", "openspec/schemas/own/schema.yaml"])
def test_links_are_not_followed(tmp_path: Path, link: str) -> None:
    target = tmp_path / "elsewhere"
    if link.endswith(".yaml"):
        target.write_text(OWN, encoding="utf-8")
    else:
        target.mkdir()
        (target / "schema.yaml").write_text(OWN, encoding="utf-8")
    root = tmp_path / "root"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(target)
    found = allowed(root, {"openspec/config.yaml": "schema: own\n"})
    assert found.patterns == ()
    assert "link" in found.note


@pytest.mark.parametrize(
    "odd", ["x", "[]", "artifacts: 5", "artifacts: [5, {generates: [x]}, {}, {generates: {}}]"]
)
def test_odd_schemas_name_nothing(tmp_path: Path, odd: str) -> None:
    files = {"openspec/config.yaml": "schema: own\n", "openspec/schemas/own/schema.yaml": odd}
    assert allowed(tmp_path, files).patterns == ()


def test_many_patterns_are_bounded(tmp_path: Path) -> None:
    bomb = '"' + "{a,b}" * 40 + '"'
    many = [f"n{n}.md" for n in range(500)]
    for patterns in ([bomb], many):
        text = schema(*patterns)
        files = {
            "openspec/config.yaml": "schema: own\n",
            "openspec/schemas/own/schema.yaml": text,
        }
        assert len(allowed(tmp_path, files).patterns) <= 300
