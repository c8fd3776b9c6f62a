"""The operator's commands: what they print, and their exit status."""

import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest

from rtserver.audit.checkpoints.key_file import make_key_file
from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.cli import rtserver, rtserver_many, start_rtserver
from tests.support.processes import end, wait_until
from tests.support.sockets import session
from tests.support.tokens import SECRET, token


def check_refused(done: "subprocess.CompletedProcess[str]", status: int, said: str) -> None:
    """One clear line on stderr, and nothing else."""
    assert done.returncode == status, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "Traceback" not in line


WITH_SECRET = {"jwt_secret": SECRET}
WRONG: list[tuple[list[str], dict[str, str], str]] = [
    (["serve"], {"jwt_secret": "short"}, "32"),
    (["serve"], {**WITH_SECRET, "port": "banana"}, "RT_PORT"),
    (["serve", "--port", "70000"], WITH_SECRET, "--port"),
    (["serve", "--watch", "app.notes:note:projekt=p"], WITH_SECRET, "did you mean project"),
    (["serve", "--nonsense"], WITH_SECRET, "--nonsense"),
    (["token", "--user", "ada"], {}, "RT_JWT_SECRET"),
    (["token"], WITH_SECRET, "--user"),
    (["token", "--user", "ada", "--role", "king"], WITH_SECRET, "king"),
    (["token", "--user", "ada", "--ttl", "-1"], WITH_SECRET, "--ttl"),
    (["publish", "p1", "nodot"], {}, "nodot"),
    (["publish", "../p1", "a.b"], {}, "../p1"),
    (["publish", "p1", "a.b", "{"], {}, "JSON"),
    (["publish", "p1", "a.b", "--proposal", "../x"], {}, "../x"),
    (["tail", "p1", "--from", "nonsense"], {}, "nonsense"),
    (["dance"], {}, "dance"),
    ([], {}, "COMMAND"),
]


def test_what_is_wrong_is_said_in_one_line_with_status_2(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    results = rtserver_many(
        *((arguments, {"data_dir": data_dir, **settings}) for arguments, settings, _ in WRONG)
    )
    for done, (_, _, said) in zip(results, WRONG, strict=True):
        check_refused(done, 2, said)
    assert not data_dir.exists()
    check_refused(rtserver("serve", data_dir=data_dir), 2, "RT_JWT_SECRET")


def test_mongodb_that_is_not_there(tmp_path: Path) -> None:
    alone = {"data_dir": tmp_path / "var"}
    nowhere = {
        **WITH_SECRET,
        "mongodb_uri": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300",
        "startup_wait_s": 0,
        "port": 0,
        "data_dir": tmp_path,
        "validation_command": "true",
    }
    no_server, no_server_either, serve, publish, tail, check = rtserver_many(
        (["publish", "p1", "a.b"], alone),
        (["tail", "p1"], alone),
        (["serve"], nowhere),
        (["publish", "p1", "a.b"], nowhere),
        (["tail", "p1"], nowhere),
        (["check"], nowhere),
    )
    for done in (no_server, no_server_either):
        check_refused(done, 1, "no server runs")
    for done in (serve, publish, tail):
        check_refused(done, 1, "MongoDB does not answer")
    assert check.returncode == 1
    assert "MongoDB:\n  - MongoDB does not answer" in check.stdout


def settings_of(pair: Pair) -> dict[str, Any]:
    names = ("mongodb_uri", "mongodb_database", "jwt_secret", "data_dir", "event_log_bytes")
    return {name: pair.one.settings[name] for name in names}


@pytest.mark.gen_test
async def test_token_is_one_that_the_server_takes(pair: Pair, project: str) -> None:
    arguments = ["--user", "ada", "--name", "Ada L", "--project", project, "--project", "x"]
    arguments += ["--role", "service", "--ttl", "60"]
    done = await asyncio.to_thread(rtserver, "token", *arguments, jwt_secret=SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    (signed,) = done.stdout.splitlines()
    claims = jwt.decode(signed, SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] in (60, 61)
    assert (claims["sub"], claims["name"]) == ("ada", "Ada L")
    assert (claims["projects"], claims["roles"]) == ([project, "x"], ["service"])
    async with (
        session(pair.one.address, project, token=signed) as client,
        api(pair.one.address, token=signed) as service,
    ):
        await service.publish(project, 1)
        await client.recv_events(1)


@pytest.mark.gen_test
async def test_publish_and_tail(pair: Pair, project: str, tmp_path: Path) -> None:
    settings = settings_of(pair)

    def publish(*arguments: str) -> str:
        done = rtserver("publish", project, *arguments, **settings)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()

    async with session(pair.one.address, project) as client:
        first = await asyncio.to_thread(publish, "deploy.done", '{"v":1}', "--key", "k")
        assert await asyncio.to_thread(publish, "deploy.done", '{"v":1}', "--key", "k") == first
        event = await client.recv_type("deploy.done")
        assert (event["id"], event["data"]) == (first, {"v": 1})
        second = await asyncio.to_thread(publish, "deploy.done")
        assert (await client.recv_events(1))[0]["id"] == second

        printed = tmp_path / "tail.out"
        tail = start_rtserver("tail", project, "--from", first, stdout=printed, **settings)
        try:
            await asyncio.to_thread(wait_until, lambda: second in printed.read_text(), "the tail")
            async with api(pair.other.address) as service:
                third = await service.publish(project, "live")
            await asyncio.to_thread(wait_until, lambda: third in printed.read_text(), "the tail")
        finally:
            assert end(tail)
        assert tail.returncode == 0
        lines = [json.loads(line) for line in printed.read_text().splitlines()]
        assert [line["id"] for line in lines] == [second, third]


def test_port_that_is_taken(pair: Pair) -> None:
    settings = settings_of(pair)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = rtserver("serve", **{**settings, "port": port})
        check_refused(done, 1, f"127.0.0.1:{port}")


def test_check_of_what_works_and_of_what_does_not(pair: Pair, tmp_path: Path) -> None:
    settings = {**settings_of(pair), "validation_command": "true", "workspace_root": tmp_path}
    settings["validation_report_command"] = ""
    settings["audit_archive_dir"] = tmp_path / "archive"
    settings["audit_signing_key_file"] = tmp_path / "key"
    key = make_key_file(tmp_path / "key", "audit.example.com").public
    done = rtserver("check", **settings)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "MongoDB: ok" in done.stdout
    assert "audit archive: ok" in done.stdout
    assert f"audit checkpoints: ok (public key {key})" in done.stdout
    (tmp_path / "file").touch()
    done = rtserver(
        "check",
        **{
            **settings,
            "event_log_bytes": 32 * 1024 * 1024,
            "validation_command": "no-such-validator",
            "audit_archive_dir": tmp_path / "file" / "archive",
            "audit_checkpoints_dir": tmp_path / "file" / "checkpoints",
            "prot": 80,
            "watch": "no_app.notes:note",
        },
    )
    assert done.returncode == 1
    assert "RT_AUDIT_ARCHIVE_DIR" in done.stdout
    assert "RT_AUDIT_CHECKPOINTS_DIR" in done.stdout
    assert "RT_PROT" in done.stdout
    assert "RT_WATCH no_app.notes:note: there is no collection" in done.stdout
    assert "no-such-validator" in done.stdout
    assert "log resize" in done.stdout
    assert "tokens: ok" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_interrupt_is_no_traceback(pair: Pair, tmp_path: Path) -> None:
    printed = tmp_path / "tail.out"
    tail = start_rtserver("tail", "p1", stdout=printed, **settings_of(pair))
    try:
        wait_until(lambda: is_catching(tail.pid, signal.SIGINT), "the tail")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
    finally:
        end(tail)
    assert "Traceback" not in printed.read_text()
    assert token() not in printed.read_text()


def is_catching(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own: Python's default one is not it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    mask = int(caught.split()[1], 16)
    # asyncio takes SIGTERM too, which Python itself leaves alone.
    return bool(mask >> (number - 1) & 1 and mask >> (signal.SIGTERM - 1) & 1)
