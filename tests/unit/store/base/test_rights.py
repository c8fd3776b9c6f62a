"""What the user that the server connects to MongoDB as has to be allowed."""

import re

import pytest

from store.base.client import Database
from store.base.rights import RIGHTS, Lack, actions_on, role_command, what_is_not_allowed
from tests.support.processes import ROOT


def test_the_documents_show_the_role() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (shown,) = re.findall(r"createRole\((.*?)\)\n```", text, re.DOTALL)
    words = [word for word in re.findall(r'"(\w+)"', shown) if word != "rtserver"]
    assert words == role_command("rtserver")["privileges"][0]["actions"]


@pytest.mark.gen_test
async def test_nothing_is_missing_where_mongodb_asks_nobody(db: Database) -> None:
    assert await what_is_not_allowed(db) is None


def test_only_what_is_allowed_on_the_whole_database_counts() -> None:
    privileges = [
        {"resource": {"db": "a", "collection": ""}, "actions": ["find"]},
        {"resource": {"db": "", "collection": ""}, "actions": ["insert"]},
        {"resource": {"anyResource": True}, "actions": ["update"]},
        {"resource": {"db": "b", "collection": ""}, "actions": ["remove"]},
        {"resource": {"db": "a", "collection": "events"}, "actions": ["collMod"]},
        {"resource": {"cluster": True}, "actions": ["hostInfo"]},
    ]
    assert actions_on(privileges, "a") == {"find", "insert", "update"}


def test_a_start_fails_for_what_it_needs_only() -> None:
    later = tuple(right for right in RIGHTS if not right.at_start)
    assert not Lack("ada", later).stops_start
    assert Lack("ada", (*later, RIGHTS[0])).stops_start
    assert Lack(None, RIGHTS).stops_start
