"""What a validator can find out of the server that started it, as `python -m rtserver serve`."""

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import api
from tests.support.cli import start_rtserver
from tests.support.mongo import MongodProcess
from tests.support.processes import end, wait_until
from tests.support.tokens import SECRET
from tests.support.workers import log_lines

API_KEY = "key-that-nobody-may-see"
LOOK = """\
import json, os
found, pid = [], os.getpid()
while pid > 1:
    shown = {"pid": pid}
    for name in ("environ", "mem", "cmdline"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                shown[name] = "" if name == "mem" else file.read().decode("latin1")
        except OSError as error:
            shown[name] = type(error).__name__
    found.append(shown)
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
print(json.dumps(found))
"""


@pytest.mark.gen_test(timeout=120)
async def test_a_validator_finds_no_secret_of_the_server(
    mongod: MongodProcess, database: str, tmp_path: Path
) -> None:
    (tmp_path / "workspaces" / "p").mkdir(parents=True)
    (tmp_path / "look.py").write_text(LOOK)
    found_file = tmp_path / "found.json"
    command = f"{sys.executable} -IS {tmp_path / 'look.py'} > {found_file}"
    log = tmp_path / "log"
    server = start_rtserver(
        *("serve", "--llm-api-key", API_KEY),
        stdout=log,
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        data_dir=tmp_path / "var",
        workspace_root=tmp_path / "workspaces",
        jwt_secret=SECRET,
        port=0,
        log_format="json",
        validation_command=shlex.join(["sh", "-c", command]),
        validation_report_command="",
    )

    def serving() -> list[Any]:
        assert server.poll() is None, log.read_text()
        return [
            line.fields["port"]
            for line in log_lines(log.read_text(errors="replace"))
            if line.event == "serving"
        ]

    try:
        await asyncio.to_thread(wait_until, lambda: bool(serving()), "it serves", timeout_s=60)
        async with api(f"127.0.0.1:{serving()[0]}") as service:
            await service.propose("p", "a")
            run = await service.post("/api/v1/proposals/a/validations", None, 202)
            ended = await service.run_ended(run["run_id"])
    finally:
        assert end(server)
    assert ended["state"] == "passed", ended
    found = {shown["pid"]: shown for shown in json.loads(found_file.read_text())}
    shown = found[server.pid]
    assert {shown["environ"], shown["mem"]} == {"PermissionError"}
    assert "--llm-api-key\0...\0" in shown["cmdline"]
    # Nor has what stands between it and the server.
    between = [found[pid] for pid in list(found)[: list(found).index(server.pid) + 1]]
    assert len(between) >= 3  # the validator, the shell perhaps, the guard, the server
    assert SECRET not in str(between)
    assert API_KEY not in str(between)
    assert "RT_" not in str([one["environ"] for one in between])
