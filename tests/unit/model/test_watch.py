"""The form of `RT_WATCH`, and what is said of mistakes in it."""

import importlib
import re

import pytest

from rtserver.config.engine import SettingError
from rtserver.config.settings import Settings
from rtserver.model.watch import OWN_COLLECTIONS, ChangeKind, Watch, parse_watches
from store.log.collection import EVENTS
from tests.support.processes import ROOT


def test_the_least_and_the_most_that_can_be_said() -> None:
    least, most, one_project = parse_watches(
        "notes:note\n"
        "app.task.items:board.task:project=meta.board:proposal=change:audience=project"
        ":send=title,meta.due:on=insert,delete  app.x:x:to=demo:send=*:users=readers"
    )
    assert least == Watch("", "notes", "note")
    assert least.in_database("mine").name == "mine.notes:note"
    assert most == Watch(
        "app",
        "task.items",
        "board.task",
        operations=frozenset({ChangeKind.INSERT, ChangeKind.DELETE}),
        project_field="meta.board",
        proposal_field="change",
        fields=("title", "meta.due"),
    )
    assert most.event_type(ChangeKind.DELETE) == "board.task.deleted"
    assert (one_project.project_id, one_project.project_field) == ("demo", None)
    assert one_project.whole
    assert one_project.routing_fields == ("readers",)


def test_a_proposal_narrows_the_audience_unless_told_otherwise() -> None:
    viewers, everybody, readers = parse_watches(
        "a:a:proposal=p a:b:proposal=p:audience=project a:c:proposal=p:users=u"
    )
    assert [one.to_viewers for one in (viewers, everybody, readers)] == [True, False, False]


def test_a_flag_may_be_repeated_and_a_database_is_the_servers_own_unless_named() -> None:
    settings = Settings.load({"RT_MONGODB_DATABASE": "mine"}, {"watch": "a:a other.b:b"})
    assert [watch.namespace for watch in settings.watches] == ["mine.a", "other.b"]
    assert Settings.load({"RT_WATCH": " "}, {}).watches == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notes", "names no type"),
        ("notes:", "names no type"),
        (":note", "no collection"),
        ("notes:Note", "the type 'Note'"),
        ("notes:note.", "the type 'note.'"),
        ("notes:" + "n" * 100, "the type 'nnn"),
        ("app.system.views:x", "no collection"),
        ("admin.things:x", "'admin' is no database"),
        ("a$b:x", "no collection"),
        ("a:x:projekt=y", "did you mean project?"),
        ("a:x:colour=y", "no option 'colour'"),
        ("a:x:project", "option project has no value"),
        ("a:x:send=", "option send has no value"),
        ("a:x:send=a,,b", "send='' is no field"),
        ("a:x:project=$where", "project='$where' is no field"),
        ("a:x:users=a.", "users='a.' is no field"),
        ("a:x:project=a:project=b", "project is there twice"),
        ("a:x:project=a:to=b", "not both"),
        ("a:x:to=../etc", "no project id"),
        ("a:x:audience=all", "it is project or proposal"),
        ("a:x:audience=proposal", "needs proposal=FIELD"),
        ("a:x:audience=project:users=u", "not both"),
        ("a:x:on=insert,replace", "on='replace'"),
        ("a:x other.b:y a:x", "mine.a:x is there twice"),
        ("mine.a:x a:x", "mine.a:x is there twice"),
        ("events:x", "mine.events is the server's own"),
        ("mine.audit:x", "mine.audit is the server's own"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_part(text: str, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings.load({"RT_WATCH": text, "RT_MONGODB_DATABASE": "mine"}, {})
    message = str(refused.value)
    assert said in message
    assert message.startswith("RT_WATCH (--watch) ")
    assert "\n" not in message


def test_no_collection_of_the_server_can_be_followed() -> None:
    """Two that came later were forgotten, and then three that stand beside others."""
    used = {EVENTS}
    for path in (ROOT / "store").rglob("*.py"):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        text = path.read_text(encoding="utf-8")
        # By name, by one of several, or as what a class is given unless another is named.
        chosen = re.findall(
            r"database\)?\[([^\]]+)\]|COLLECTIONS? = (.*)|^(STRANGERS\w*) =", text, re.MULTILINE
        )
        names = re.findall(r"\b[A-Z][A-Z_]+\b", " ".join(map(" ".join, chosen)))
        used |= {getattr(module, name) for name in names}
    assert {"audit", "heads", "connections", "revocations", "contents"} <= used
    assert {"audit_strangers", "audit_strangers_heads", "audit_strangers_workers"} <= used
    assert used - OWN_COLLECTIONS == set()
