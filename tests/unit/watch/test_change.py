"""What is told of a change, and to whom."""

from typing import Any

import pytest

from rtserver.model.audience import WHOLE_PROJECT, only_users, viewers_of
from rtserver.model.watch import ChangeKind, parse_watches
from rtserver.watch.change import Change, ChangeOutcome, ChangeTeller, Told, top_paths

TS = "2026-01-01T10:00:00.000Z"


def _tell(
    spec: str,
    document: dict[str, Any] | None = None,
    *,
    operation: ChangeKind = ChangeKind.INSERT,
    before: dict[str, Any] | None = None,
    changed: list[str] | None = None,
    max_data_bytes: int = 1000,
) -> Told:
    (watch,) = parse_watches(f"app.notes:note{spec}")
    change = Change("k", operation, "n1", TS, document, before, changed)
    return ChangeTeller(watch, max_data_bytes).tell(change)


def _data(told: Told) -> Any:
    assert told.draft is not None
    return told.draft.fields["data"]


def test_only_what_was_asked_for_is_sent() -> None:
    document = {
        "_id": "n1",
        "project_id": "p1",
        "text": "hi",
        "secret": 1,
        "by": {"name": "Ada", "mail": "x"},
        "tags": [{"name": "a", "n": 1}, {"n": 2}, 3],
    }
    assert _data(_tell("", document)) == {"id": "n1"}
    told = _tell(":send=text,by.name,tags.name,none,text.below", document)
    assert _data(told) == {
        "id": "n1",
        "document": {"text": "hi", "by": {"name": "Ada"}, "tags": [{"name": "a"}, {}]},
    }
    assert _data(_tell(":send=*", document))["document"] == document


def test_an_event_says_what_happened_when_and_where() -> None:
    told = _tell("", {"project_id": "p1"}, operation=ChangeKind.UPDATE)
    assert told.draft is not None
    assert (told.draft.type, told.draft.project_id, told.draft.ts) == ("note.updated", "p1", TS)
    assert told.draft.audience == WHOLE_PROJECT
    assert told.outcome is ChangeOutcome.TOLD


@pytest.mark.parametrize(
    ("value", "project_id"),
    [
        ("p1", "p1"),
        (7, "7"),
        ("65f0c0ffee65f0c0ffee65f0", "65f0c0ffee65f0c0ffee65f0"),
        (None, None),
        ("", None),
        ("$workers", None),
        ("../p1", None),
        (True, None),
        (1.5, None),
        (["p1"], None),
        ({"p": 1}, None),
    ],
)
def test_a_project_is_named_by_text_or_number(value: object, project_id: str | None) -> None:
    told = _tell(":project=of.project", {"of": {"project": value}})
    if project_id is None:
        assert told == Told(ChangeOutcome.NO_PROJECT)
    else:
        assert told.draft is not None
        assert told.draft.project_id == project_id


def test_a_collection_may_belong_to_one_project() -> None:
    told = _tell(":to=demo", None, operation=ChangeKind.DELETE)
    assert told.draft is not None
    assert told.draft.project_id == "demo"
    assert _data(told) == {"id": "n1"}


def test_what_is_for_viewers_is_never_told_to_more() -> None:
    told = _tell(":proposal=change", {"project_id": "p1", "change": "c1"})
    assert told.draft is not None
    assert told.draft.audience == viewers_of("c1")
    assert told.draft.proposal_id == "c1"
    for change in (None, "a/b", ["c1"]):
        told = _tell(":proposal=change", {"project_id": "p1", "change": change})
        assert told == Told(ChangeOutcome.NO_PROPOSAL)
    told = _tell(":proposal=change:audience=project", {"project_id": "p1"})
    assert told.draft is not None
    assert (told.draft.audience, told.draft.proposal_id) == (WHOLE_PROJECT, None)


@pytest.mark.parametrize(
    ("value", "users"),
    [
        ("ada", {"ada"}),
        (["ada", 7, "ada"], {"ada", "7"}),
        ([], None),
        (None, None),
        (["ada", None], None),
        (["ada", "a\nb"], None),
        ([str(n) for n in range(1001)], None),
    ],
)
def test_what_is_for_users_is_told_to_them_or_nobody(value: object, users: set[str] | None) -> None:
    told = _tell(":users=readers", {"project_id": "p1", "readers": value})
    if users is None:
        assert told == Told(ChangeOutcome.NO_USERS)
    else:
        assert told.draft is not None
        assert told.draft.audience == only_users(frozenset(users))


def test_what_is_gone_is_told_by_what_it_was() -> None:
    before = {"_id": "n1", "project_id": "p1", "text": "old"}
    for operation in (ChangeKind.DELETE, ChangeKind.UPDATE):
        told = _tell(":send=text", None, operation=operation, before=before)
        assert _data(told) == {"id": "n1"}
        assert _tell(":send=text", operation=operation) == Told(ChangeOutcome.NO_IMAGE)


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        (["text"], ChangeOutcome.TOLD),
        (["views", "by.name"], ChangeOutcome.TOLD),
        (["by"], ChangeOutcome.TOLD),
        (["by.name.first"], ChangeOutcome.TOLD),
        (["project_id"], ChangeOutcome.TOLD),
        (["views"], ChangeOutcome.IGNORED),
        (["by.mail", "texts", "by.names"], ChangeOutcome.IGNORED),
        ([], ChangeOutcome.IGNORED),
        (None, ChangeOutcome.TOLD),
    ],
)
def test_updates_of_what_is_not_sent_are_not_told(
    changed: list[str] | None, outcome: ChangeOutcome
) -> None:
    told = _tell(
        ":send=text,by.name", {"project_id": "p1"}, operation=ChangeKind.UPDATE, changed=changed
    )
    assert told.outcome is outcome
    for spec in ("", ":send=*"):
        told = _tell(spec, {"project_id": "p1"}, operation=ChangeKind.UPDATE, changed=changed)
        assert told.outcome is ChangeOutcome.TOLD


def test_what_is_too_large_is_told_without_the_document() -> None:
    told = _tell(":send=text", {"project_id": "p1", "text": "x" * 2000})
    assert told.outcome is ChangeOutcome.TOO_LARGE
    assert _data(told) == {"id": "n1", "too_large": True}


def test_paths_below_others_are_left_out() -> None:
    assert top_paths(["a.b", "a", "ab", "a.b.c", "d.e"]) == ["a", "ab", "d.e"]
