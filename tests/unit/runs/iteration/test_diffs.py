"""Diffs for people."""

import msgspec

from rtserver.runs.iteration.diffs import MAX_LINES, diffs_of


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


def test_all_together_are_bounded() -> None:
    texts = {f"{n}.md": ("", "\x01" * 300 + "\n") for n in range(5)}  # 6 bytes each in JSON
    diffs = diffs_of(texts, max_bytes=4_500)
    assert [bool(diff["diff"]) for diff in diffs] == [True, True, False, False, False]
    assert [diff.get("truncated", False) for diff in diffs] == [False, False, True, True, True]
    assert len(msgspec.json.encode(diffs)) < 5_000


def test_what_would_take_long_is_left_out() -> None:
    (diff,) = diffs_of({"a.md": ("x\n" * (MAX_LINES + 1), "y\n")})
    assert diff == {"path": "a.md", "diff": "", "truncated": True}
