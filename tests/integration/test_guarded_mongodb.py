"""Workers on a MongoDB that asks for TLS and a user, as most that are not private do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from rtserver.app.check import findings
from rtserver.config.settings import Settings
from store.base.rights import role_command
from tests.integration.conftest import VALIDATION_COMMAND
from tests.support.api import api
from tests.support.certificates import self_signed
from tests.support.cli import rtserver_many
from tests.support.guarded_mongod import DATABASE, USER, GuardedMongod, guarded_mongod
from tests.support.recorder import LogRecorder
from tests.support.sockets import session
from tests.support.tokens import SECRET
from tests.support.workers import Workers

MIB = 1024 * 1024
LOG_BYTES = 32 * MIB
WATCH_ROLE = {
    "createRole": "rtserver_watch",
    "privileges": [
        {"resource": {"db": "app", "collection": "notes"}, "actions": ["find", "changeStream"]},
        {"resource": {"db": "app", "collection": ""}, "actions": ["listCollections"]},
    ],
    "roles": [],
}
"""As in docs/watching.md."""


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedMongod]:
    with guarded_mongod(tmp_path_factory.mktemp("guarded")) as guarded:
        yield guarded


@pytest.fixture
def workers(mongod: GuardedMongod, tmp_path: Path) -> Iterator[Workers]:
    factory = Workers(tmp_path, {"mongodb_uri": mongod.uri(), "mongodb_database": DATABASE})
    yield factory
    problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.mark.gen_test(timeout=120)
async def test_a_user_with_the_declared_rights_is_enough_for_all_that_a_server_does(
    workers: Workers, mongod: GuardedMongod, tmp_path: Path
) -> None:
    with mongod.client() as client:
        client["app"].command(WATCH_ROLE)
        client.admin.command(
            {"grantRolesToUser": USER, "roles": [{"role": "rtserver_watch", "db": "app"}]}
        )
        notes = client["app"].create_collection("notes")
        one, other = workers.start_many(
            2,
            watch="app.notes:note:project=project:on=insert",
            audit_archive_dir=tmp_path / "archive",
            validation_command=VALIDATION_COMMAND,
            validation_report_command="",
            workspace_root=tmp_path / "workspaces",
        )
        (tmp_path / "workspaces" / "p1" / "openspec" / "changes" / "c1").mkdir(parents=True)
        async with (
            session(one.address) as near,
            session(other.address) as far,
            api(one.address) as to,
        ):
            ids = [await to.publish("p1", number) for number in range(3)]
            for viewer in (near, far):
                assert [event["id"] for event in await viewer.recv_events(3)] == ids
            await to.propose("p1", "c1", reviewers=["ada"])
            await to.post("/api/v1/proposals/c1/comments", {"text": "why?"})
            files = {"base": 0, "files": {"proposal.md": "# Why\n"}}
            await to.post("/api/v1/proposals/c1/revisions", files)
            await to.put("/api/v1/projects/p1/lock", {"reason": "a release"})
            run = await to.post("/api/v1/proposals/c1/validations", {}, status=202)
            assert (await to.run_ended(run["run_id"]))["state"] in ("passed", "failed")
            async with api(one.address, user="root", roles=("admin",)) as admin:
                await admin.post("/api/v1/users/eve/revoke", status=200)
            notes.insert_one({"project": "p1"})
            await far.recv_type("note.inserted")
        async with session(other.address, last_event_id=ids[0]) as again:
            assert [event["id"] for event in (await again.recv_events(2))[:2]] == ids[1:]
    common = {
        "mongodb_uri": mongod.uri(),
        "mongodb_database": DATABASE,
        "data_dir": tmp_path / "shell",
        "event_log_bytes": LOG_BYTES,
    }
    workers.expect("log_lost")
    for command in (
        ["log", "resize", "events"],
        ["log", "new-epoch"],
        ["audit", "--history", "3"],
        ["audit", "verify"],
        ["webhooks", "status"],
    ):
        (done,) = await asyncio.to_thread(rtserver_many, (command, common))
        assert done.returncode == 0, (command, done)
    # What a later release does when it is put in the place of this one.
    await asyncio.to_thread(mongod.initiate)
    said = [line.event for worker in (one, other) for line in worker.lines()]
    assert "validator_not_set" not in said


class _Issuer(RequestHandler):
    """Serves three sets of keys, of which none will do."""

    def get(self, name: str) -> None:
        match name:
            case "page":
                self.write("<!doctype html>")
            case "empty":
                self.write({"keys": []})
            case _:
                self.send_error(404)


@pytest.fixture
def issuer(io_loop: object, logs: LogRecorder) -> Iterator[str]:
    logs.expect("tornado.access")
    server = HTTPServer(Application([(r"/(\w+)", _Issuer)]))
    (listening, *_) = sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.stop()


Given = dict[str, object]
QUICK: dict[str, object] = {"serverSelectionTimeoutMS": 2500}
"""So long is waited for one that can't be used: all that is tried is tried at once."""


def _addresses(mongod: GuardedMongod, directory: Path) -> dict[str, tuple[Given, str]]:
    """Broken ways to MongoDB, and a part of what is said of each."""

    def uri(user: str = USER, **options: object) -> Given:
        return {"mongodb_uri": mongod.uri(user, **QUICK, **options)}

    def instead(old: str, new: str) -> Given:
        return {"mongodb_uri": mongod.uri(USER, **QUICK).replace(old, new)}

    here = mongod.address
    return {
        "nobody listens": (instead(here, "127.0.0.1:1"), "nobody listens there"),
        "no such host": (instead(here, "nowhere.invalid:27017"), "there is no such host"),
        "no user": (instead(f"{USER}:{mongod.passwords[USER]}@", ""), "asks for a user"),
        "wrong password": (instead(mongod.passwords[USER], "wrong"), "refuses the user or the pas"),
        "user of another database": (uri(authSource="app"), "add authSource="),
        "may only read": (uri("reader"), "'reader' may not do all that is needed on the database"),
        "lacks one right": (uri("almost"), "It lacks createIndex: give it the role"),
        "no TLS": (uri(tls=None, tlsCAFile=None), "add tls=true"),
        "no authority": (uri(tlsCAFile=None), "name the file of the authority that signed it"),
        "other authority": (
            uri(tlsCAFile=self_signed(directory / "other.pem")),
            "certificate is not trusted",
        ),
        "missing authority": (uri(tlsCAFile="/nowhere/ca.pem"), "directory: /nowhere/ca.pem"),
        "other replica set": (uri(replicaSet="rs7"), "another name than 'rs7'"),
        "no address": ({"mongodb_uri": "mongodb://ada:50%@127.0.0.1/"}, "RT_MONGODB_URI can't be"),
        "size of a log": (
            {"mongodb_uri": mongod.uri("reader2"), "mongodb_database": "sized"},
            "holds 1048576 bytes, the setting says",
        ),
        "name of a log": (
            {"mongodb_uri": mongod.uri("reader2"), "mongodb_database": "taken"},
            "'events' is not capped",
        ),
    }


def _others(directory: Path, issuer: str) -> dict[str, tuple[str, Given, str]]:
    """Further broken set-ups: the part that says so, and a part of what it says."""
    file = directory / "file"
    file.touch(mode=0o644)

    def keys(url: str) -> Given:
        return {"jwt_secret": "", "jwt_jwks_url": url}

    return {
        "unknown setting": ("settings", {"prot": 80}, "did you mean RT_PORT"),
        "data directory": ("settings", {"data_dir": file}, "set RT_DATA_DIR to another"),
        "no key": ("tokens", {"jwt_secret": ""}, "no key for tokens: set RT_JWT_SECRET"),
        "weak secret": ("tokens", {"jwt_secret": "short"}, "needs at least 32. Make one with"),
        "no key file": (
            "tokens",
            {"jwt_secret": "", "jwt_public_key": "/nowhere/key.pem"},
            "neither PEM text nor the path",
        ),
        "dead key set": ("tokens", keys("http://127.0.0.1:1/keys"), "nobody listens there"),
        "no host of keys": ("tokens", keys("http://nowhere.invalid/"), "no host of that name"),
        "no key set there": ("tokens", keys(f"{issuer}/nothing"), "HTTP status 404"),
        "page for a key set": ("tokens", keys(f"{issuer}/page"), "not a JWK Set"),
        "no keys in it": ("tokens", keys(f"{issuer}/empty"), "no key for any of ES256"),
        "no validator": ("validator", {"validation_command": "/nowhere/x"}, "/nowhere/x"),
        "no model": ("LLM", {"llm_base_url": "http://127.0.0.1:1"}, "RT_LLM_MODEL is not"),
        "archive": ("audit archive", {"audit_archive_dir": file}, "See RT_AUDIT_ARCHIVE_DIR"),
        "no signing key": (
            "audit checkpoints",
            {"audit_signing_key_file": "/nowhere/key"},
            "make one with",
        ),
        "open signing key": ("audit checkpoints", {"audit_signing_key_file": file}, "chmod 600"),
    }


def _prepare(mongod: GuardedMongod) -> None:
    mongod.add_user("reader", "read")
    mongod.add_user("reader2", "readWrite", "sized")
    almost: dict[str, Any] = role_command(DATABASE, "almost")
    almost["privileges"][0]["actions"].remove("createIndex")
    mongod.add_user("almost", almost)
    with mongod.client() as client:
        role = {"role": "readWrite", "db": "taken"}
        client.admin.command({"grantRolesToUser": "reader2", "roles": [role]})
        client["sized"].create_collection("events", capped=True, size=MIB)
        client["taken"]["events"].insert_one({"kind": "party"})


def _settings(given: Given) -> Settings:
    return Settings.load({f"RT_{name.upper()}": str(text) for name, text in given.items()}, {})


async def _problems(given: Given) -> dict[str, list[str]]:
    found = [part async for part in findings(_settings(given))]
    return {part: list(one.problems) for part, one in found if one.problems}


AT_START = {
    "nobody listens": 1,
    "no user": 1,
    "wrong password": 1,
    "may only read": 1,
    "no authority": 1,
    "missing authority": 2,
    "other replica set": 1,
    "no address": 2,
    "name of a log": 1,
    "data directory": 1,
    "no key": 2,
    "weak secret": 2,
}
"""Set-ups with which `serve` ends too, and its exit status."""


@pytest.mark.gen_test(timeout=120)
async def test_check_and_serve_name_each_broken_setup_and_how_to_mend_it(
    mongod: GuardedMongod, issuer: str, tmp_path: Path, logs: LogRecorder
) -> None:
    await asyncio.to_thread(_prepare, mongod)
    sound: Given = {
        "mongodb_uri": mongod.uri(),
        "mongodb_database": DATABASE,
        "jwt_secret": SECRET,
        "data_dir": tmp_path / "var",
        "workspace_root": tmp_path,
        "validation_command": "true",
        "validation_report_command": "",
        "event_log_bytes": LOG_BYTES,
        "startup_wait_s": 0,
        "port": 0,
    }
    assert await _problems(sound) == {}
    broken = {
        name: ("MongoDB", given, words)
        for name, (given, words) in _addresses(mongod, tmp_path).items()
    } | _others(tmp_path, issuer)
    said = dict(
        zip(
            broken,
            await asyncio.gather(*(_problems(sound | given) for _, given, _ in broken.values())),
            strict=True,
        )
    )
    for name, (part, _, words) in broken.items():
        assert list(said[name]) == [part], (name, said[name])
        (problem,) = said[name][part]
        assert words in problem, (name, problem)
        assert not any(password in problem for password in mongod.passwords.values())
    ended = await asyncio.to_thread(
        rtserver_many, *((["serve"], sound | broken[name][1]) for name in AT_START)
    )
    for (name, status), done in zip(AT_START.items(), ended, strict=True):
        ((problem,),) = said[name].values()
        assert done.stderr.splitlines()[-1] == f"rtserver: {problem}", (name, done)
        assert done.returncode == status, (name, done)
