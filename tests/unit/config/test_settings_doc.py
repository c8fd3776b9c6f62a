from pathlib import Path

from rtserver.config.settings import SETTING_SPECS
from rtserver.config.settings_doc import render_markdown

REPOSITORY = Path(__file__).parents[3]


def test_the_documentation_is_up_to_date() -> None:
    committed = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert committed == render_markdown(), "run `make docs`"


def test_the_documentation_has_every_setting_in_a_whole_row() -> None:
    rows = [line for line in render_markdown().splitlines() if line.startswith("| `RT_")]
    assert len(rows) == len(SETTING_SPECS)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
