"""Rights: what the user that the server connects to MongoDB as has to be allowed, and is.

Declared here and nowhere else. `docs/operations.md`, "MongoDB's user", shows `role_command`, and
the tests run the server with a role that has no more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from store.base.client import Database

UNAUTHORIZED = 13
"""The code of MongoDB's error where an operation is not allowed."""


@dataclass(frozen=True, slots=True)
class Right:
    """One action that the user needs on the server's database.

    Attributes:
        action: its name (MongoDB manual, "Privilege Actions").
        why: what it is for.
        at_start: no worker starts without it. The others are for what happens later, or seldom.
    """

    action: str
    why: str
    at_start: bool = True


RIGHTS = (
    Right("find", "read"),
    Right("insert", "append to logs, keep documents"),
    Right("update", "change documents"),
    Right("remove", "give leases back, prune texts"),
    Right("createCollection", "make what is missing at the start"),
    Right("createIndex", "likewise"),
    Right("listCollections", "see what is there, and how large the logs are"),
    Right("collStats", "see how full the logs are"),
    Right(
        "collMod", "`log resize`, and the checks of documents of a newer release", at_start=False
    ),
    Right("convertToCapped", "make a log anew that was dropped under way", at_start=False),
    Right("renameCollectionSameDB", "set a log aside that was damaged so", at_start=False),
)


def role_command(database: str, role: str = "rtserver") -> dict[str, Any]:
    """The command `createRole`, to be run on a database, for a role with just these rights."""
    privilege = {
        "resource": {"db": database, "collection": ""},
        "actions": [right.action for right in RIGHTS],
    }
    return {"createRole": role, "privileges": [privilege], "roles": []}


@dataclass(frozen=True, slots=True)
class Lack:
    """What the user may not do.

    Attributes:
        user: who connected; None where MongoDB asks for a user, and was given none.
        rights: those that are missing.
    """

    user: str | None
    rights: tuple[Right, ...]

    @property
    def stops_start(self) -> bool:
        """Whether no worker starts so."""
        return self.user is None or any(right.at_start for right in self.rights)


async def what_is_not_allowed(database: Database) -> Lack | None:
    """What the user that is connected lacks on the server's database; None where it lacks nothing.

    Raises:
        DatabaseError: MongoDB does not answer, or refuses the user.
    """
    reply = await database.command({"connectionStatus": 1, "showPrivileges": True})
    info = reply["authInfo"]
    if not info["authenticatedUsers"]:
        try:
            await database["meta"].find_one({"_id": "right"})
        except OperationFailure as error:
            if error.code != UNAUTHORIZED:
                raise
            return Lack(None, RIGHTS)
        return None  # it asks nobody
    allowed = actions_on(info["authenticatedUserPrivileges"], database.name)
    missing = tuple(right for right in RIGHTS if right.action not in allowed)
    return Lack(info["authenticatedUsers"][0]["user"], missing) if missing else None


def actions_on(privileges: Iterable[Mapping[str, Any]], database: str) -> set[str]:
    """What privileges allow on every collection of a database.

    What they allow on single collections does not count: a worker makes some of its own.
    """
    allowed: set[str] = set()
    for privilege in privileges:
        resource = privilege["resource"]
        everywhere = resource.get("anyResource") or (
            resource.get("collection") == "" and resource.get("db") in ("", database)
        )
        if everywhere:
            allowed.update(privilege["actions"])
    return allowed
