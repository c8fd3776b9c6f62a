from pathlib import Path

from rtserver.audit.record.actions import Action
from rtserver.audit.record.catalogue import CATALOGUE
from rtserver.audit.record.doc import render_markdown

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "audit.md"


def test_the_document_is_that_of_the_catalogue() -> None:
    assert DOCUMENT.read_text() == render_markdown(), "run `make docs`"


def test_every_action_is_in_the_catalogue_with_words_of_its_own() -> None:
    assert set(CATALOGUE) == set(Action)
    assert len({entry.meaning for entry in CATALOGUE.values()}) == len(CATALOGUE)
