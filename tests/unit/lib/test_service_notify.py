"""`rtserver.lib.service_notify`."""

import secrets
import socket
from pathlib import Path

import pytest

from rtserver.lib.service_notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_who_asks_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool) -> None:
    name = f"@rtserver-{secrets.token_hex(8)}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify(b"READY=1")
        assert manager.recv(100) == b"READY=1"


def test_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(b"READY=1")
