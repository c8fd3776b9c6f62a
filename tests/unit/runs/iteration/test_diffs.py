"""Diffs for people."""

import difflib
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.iteration import diffs as diffs_module
from rtserver.runs.iteration.diffs import diffs_of
from tests.support.cost import cpu_s

TEXTS = st.lists(st.sampled_from(["", "a", "b", "c", "- x", "+ y"]), max_size=30).map("\n".join)


def test_changed_and_new_files() -> None:
    diffs = diffs_of({"b.md": ("", "new\n"), "a.md": ("one\ntwo\n", "one\n2\n")})
    assert [diff["path"] for diff in diffs] == ["a.md", "b.md"]
    assert str(diffs[0]["diff"]).splitlines() == [
        "--- a/a.md",
        "+++ b/a.md",
        "@@ -1,3 +1,3 @@",
        " one",
        "-two",
        "+2",
        " ",
    ]
    assert "+new" in str(diffs[1]["diff"])


def test_a_last_line_without_an_end() -> None:
    (diff,) = diffs_of({"a.md": ("one\n", "one")})
    assert diff["diff"]
    assert "truncated" not in diff


def test_a_file_with_nothing_in_it_is_not_too_long_to_show() -> None:
    assert diffs_of({"a.md": ("", "")}) == [{"path": "a.md", "diff": ""}]


def test_all_together_are_bounded() -> None:
    texts = {f"{n}.md": ("", "\x01" * 300 + "\n") for n in range(5)}  # 6 bytes each in JSON
    diffs = diffs_of(texts, max_bytes=4_500)
    assert [bool(diff["diff"]) for diff in diffs] == [True, True, False, False, False]
    assert [diff.get("truncated", False) for diff in diffs] == [False, False, True, True, True]
    assert len(msgspec.json.encode(diffs)) < 5_000


def applied(before: str, diff: str, folder: Path) -> str:
    (folder / "f").write_text(before + "\n", encoding="utf-8")
    subprocess.run(
        ["patch", "-s", "-F0", str(folder / "f")], input=diff, text=True, check=True, timeout=30
    )
    return (folder / "f").read_text(encoding="utf-8").removesuffix("\n")


@given(TEXTS, TEXTS)
def test_it_is_no_longer_than_difflibs_and_has_the_same_header(before: str, after: str) -> None:
    (diff,) = diffs_of({"f": (before, after)})
    theirs = list(
        difflib.unified_diff(before.split("\n"), after.split("\n"), "a/f", "b/f", lineterm="")
    )
    ours = str(diff["diff"]).splitlines()
    assert bool(ours) is (before != after)
    assert ours[:2] == theirs[:2]
    changed = [sum(line[0] in "+-" for line in lines[2:]) for lines in (ours, theirs)]
    assert changed[0] <= changed[1]


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch(1) is not installed")
@pytest.mark.parametrize("budget", [0, diffs_module.MAX_COMPARED_IN_FILE])
def test_patch_makes_the_new_text_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(diffs_module, "MAX_COMPARED_IN_FILE", budget)
    lines = [str(number) for number in range(40)]
    for before, after in [
        (lines, [*lines[:3], "x", *lines[4:20], *lines[22:], "end"]),
        (lines, ["begin", *lines]),
        (lines, lines[::-1]),
        (lines, lines[10:30]),
        (["a"], ["b"]),
        (["a", "b", "a", "b"], ["b", "a", "b", "a"]),
    ]:
        (diff,) = diffs_of({"f": ("\n".join(before), "\n".join(after))})
        assert applied("\n".join(before), str(diff["diff"]), tmp_path) == "\n".join(after)


def took_s(texts: dict[str, tuple[str, str]]) -> float:
    return cpu_s(lambda: diffs_of(texts), tries=1)


def hard(count: int) -> dict[str, tuple[str, str]]:
    """What costs difflib its square, and its cube: lines that stand often, in another order."""
    before = "".join(f"{n * n % 7}\n{n % 3}\n" for n in range(count // 2))
    after = "".join(f"{n % 5}\n{n * n % 11}\n" for n in range(count // 2))
    return {"a.md": (before, after)}


def test_the_work_is_bounded() -> None:
    assert took_s(hard(5_000)) < 1
    assert took_s(hard(50_000)) < 2
    assert took_s(hard(500_000)) < 15 * max(took_s(hard(50_000)), 0.1)
    # Each as long as is still compared, and together more than that.
    assert took_s({f"{n}.md": text for n in range(20) for text in hard(9_900).values()}) < 4


def test_texts_that_are_too_long_are_shown_as_replaced() -> None:
    before = "same\n" + "a\n" * 15_000 + "same\n"
    after = "same\n" + "b\n" * 15_000 + "same\n"
    (diff,) = diffs_of({"a.md": (before, after)})
    lines = str(diff["diff"]).splitlines()
    assert lines[2] == "@@ -1,15003 +1,15003 @@"
    assert (lines.count("-a"), lines.count("+b"), lines.count(" same")) == (15_000, 15_000, 2)
