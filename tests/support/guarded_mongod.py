"""A mongod that lets nobody in without TLS, a user and a password."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.support.certificates import self_signed
from tests.support.processes import end, wait_until
from tests.support.replica_set import free_ports, spawn_member

NAME = "guarded"
USER = "rtserver"


@contextmanager
def guarded_mongod(directory: Path) -> Iterator[str]:
    """Run one as a replica set of one node; its URI, for `RT_MONGODB_URI`."""
    certificate = self_signed(directory / "server.pem")
    keyfile = directory / "keyfile"
    keyfile.touch(mode=0o600)
    keyfile.write_text(secrets.token_hex(60))
    password = secrets.token_urlsafe(12)
    (port,) = free_ports(1)
    guards = ["--keyFile", str(keyfile), "--tlsMode", "requireTLS"]
    guards += ["--tlsCertificateKeyFile", str(certificate), "--tlsCAFile", str(certificate)]
    guards += ["--tlsAllowConnectionsWithoutCertificates"]
    process, log = spawn_member(directory, port, NAME, *guards)
    options = f"replicaSet={NAME}&tls=true&tlsCAFile={certificate}"
    try:
        # Until there is a user, whoever comes from the same host may make the first one.
        client: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://127.0.0.1:{port}/?directConnection=true&tls=true&tlsCAFile={certificate}",
            serverSelectionTimeoutMS=500,
        )
        with client:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            initiate = {"replSetInitiate": {"_id": NAME, "members": members}}
            wait_until(lambda: _goes(client, initiate), "a mongod", explain=log.read_text)
            made = {"createUser": USER, "pwd": password, "roles": ["root"]}
            wait_until(lambda: _goes(client, made), "a primary", explain=log.read_text)
        yield f"mongodb://{USER}:{password}@127.0.0.1:{port}/?{options}"
    finally:
        end(process)


def _goes(client: "MongoClient[dict[str, Any]]", command: dict[str, Any]) -> bool:
    try:
        client.admin.command(command)
    except PyMongoError:
        return False
    return True
