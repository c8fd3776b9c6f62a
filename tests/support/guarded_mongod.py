"""A mongod that lets nobody in without TLS, a user and a password, as deploy/compose.yaml has."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pymongo import MongoClient

from tests.support.processes import ROOT, end
from tests.support.replica_set import free_ports, spawn_member

COMPOSE = ROOT / "deploy" / "compose.yaml"
SCRIPTS = ROOT / "deploy" / "compose"
MEMBER = "mongo-0"
HOST = "localhost"
ADMIN, USER, DATABASE = "admin", "rtserver", "rtserver"


@dataclass(frozen=True, slots=True)
class GuardedMongod:
    """One that runs.

    Attributes:
        address: host and port.
        authority: the file with the certificate that its own is signed with.
        passwords: of its users. `rtserver` may do what a server does, and no more.
    """

    address: str
    authority: Path
    passwords: dict[str, str]

    def uri(self, user: str = USER, **options: object) -> str:
        """For `RT_MONGODB_URI`; with options beside the usual, or in their place, None for none."""
        usual = {"replicaSet": "rs0", "tls": "true", "tlsCAFile": self.authority}
        wanted = {name: value for name, value in (usual | options).items() if value is not None}
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        return f"mongodb://{user}:{self.passwords[user]}@{self.address}/?{query}"

    @contextmanager
    def client(self) -> "Iterator[MongoClient[dict[str, Any]]]":
        """A client of the user who may do everything."""
        client: MongoClient[dict[str, Any]] = MongoClient(self.uri(ADMIN))
        with client:
            yield client

    def add_user(self, user: str, role: Mapping[str, Any] | str, database: str = DATABASE) -> None:
        """Make a user with one role on a database: a built-in one, or what `createRole` takes."""
        password = secrets.token_urlsafe(12)
        with self.client() as client:
            if not isinstance(role, str):
                client[database].command(dict(role))
                role = role["createRole"]
            roles = [{"role": role, "db": database}]
            client.admin.command({"createUser": user, "pwd": password, "roles": roles})
        self.passwords[user] = password

    def initiate(self) -> None:
        """What compose.yaml does when all members run; a second time it changes nothing."""
        _script(
            "initiate.py",
            MEMBERS=self.address,
            CA=str(self.authority),
            ADMIN_PASSWORD=self.passwords[ADMIN],
            RTSERVER_PASSWORD=self.passwords[USER],
            RT_MONGODB_DATABASE=DATABASE,
        )


@contextmanager
def guarded_mongod(directory: Path) -> Iterator[GuardedMongod]:
    """Run one as a replica set of one member, with certificates and users as compose.yaml has."""
    certificates = directory / "certificates"
    certificates.mkdir()
    _script("certificates.py", str(certificates), MEMBER)
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    guards = [
        option.replace("/certificates", str(certificates))
        for option in services[MEMBER]["command"]
        if option.startswith(("--tls", "--keyFile"))
    ]
    (port,) = free_ports(1)
    process, _ = spawn_member(directory, port, "rs0", *guards)
    passwords = {user: secrets.token_hex(12) for user in (ADMIN, USER)}
    guarded = GuardedMongod(f"{HOST}:{port}", certificates / "ca.pem", passwords)
    try:
        guarded.initiate()
        yield guarded
    finally:
        end(process)


def _script(name: str, *arguments: str, **environ: str) -> None:
    subprocess.run(
        [sys.executable, str(SCRIPTS / name), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        check=True,
        timeout=120,
    )
