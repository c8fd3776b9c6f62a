"""Makes three mongods a replica set, with an administrator and the server's user; once.

Runs where the first member is `localhost`: who comes from there may make the first user. Settings
are `MEMBERS` (`HOST:PORT,...`), `CA`, `ADMIN_PASSWORD`, `RTSERVER_PASSWORD` and
`RT_MONGODB_DATABASE`. Where all is there already it changes nothing but the role, which a newer
release may need more of.
"""

import os
import time
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from store.base.mending import what_to_mend
from store.base.rights import role_command

WAIT_S, STEP_S = 120.0, 0.2
SET = "rs0"
ADMIN, USER = "admin", "rtserver"
AUTHENTICATION_FAILED = 18
Client = MongoClient[dict[str, Any]]


def main() -> None:
    """Do it, and wait for each step for as long as it takes, two minutes at most."""
    members = os.environ["MEMBERS"].split(",")
    end_s = time.monotonic() + WAIT_S
    while True:
        try:
            _initiate(members)
        except PyMongoError as error:
            if time.monotonic() > end_s:
                raise
            print(f"waiting: {what_to_mend(error)}", flush=True)  # noqa: T201
            time.sleep(STEP_S)
        else:
            return


def _client(members: list[str], user: str = "", **options: str) -> Client:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    ca = quote(os.environ["CA"], safe="/")
    uri = f"mongodb://{user}{','.join(members)}/?tls=true&tlsCAFile={ca}&{query}"
    return MongoClient(uri, serverSelectionTimeoutMS=5_000)


def _initiate(members: list[str]) -> None:
    first = [f"localhost:{members[0].rpartition(':')[2]}"]
    admin = f"{ADMIN}:{quote(os.environ['ADMIN_PASSWORD'], safe='')}@"
    with _client(first, directConnection="true") as client:
        if "setName" not in client.admin.command("hello"):
            hosts = [{"_id": n, "host": host} for n, host in enumerate(members)]
            client.admin.command({"replSetInitiate": {"_id": SET, "members": hosts}})
    try:
        with _client(members, admin, replicaSet=SET) as client:
            _make_user(client)
    except OperationFailure as error:
        if error.code != AUTHENTICATION_FAILED:
            raise
        with _client(first, directConnection="true") as client:
            password = os.environ["ADMIN_PASSWORD"]
            client.admin.command({"createUser": ADMIN, "pwd": password, "roles": ["root"]})
        with _client(members, admin, replicaSet=SET) as client:
            _make_user(client)


def _make_user(client: Client) -> None:
    database = os.environ["RT_MONGODB_DATABASE"]
    role = role_command(database, USER)
    del role["createRole"]
    known = client[database].command({"rolesInfo": USER})["roles"]
    client[database].command({"updateRole" if known else "createRole": USER, **role})
    password = {"pwd": os.environ["RTSERVER_PASSWORD"]}
    if client.admin.command({"usersInfo": USER})["users"]:
        client.admin.command({"updateUser": USER, **password})  # what else it was given stays
    else:
        roles = [{"role": USER, "db": database}]
        client.admin.command({"createUser": USER, **password, "roles": roles})


if __name__ == "__main__":
    main()
