"""`audit key` as an operator uses it."""

from pathlib import Path

import pytest

from rtserver.audit.checkpoints.key_file import read_key_file
from rtserver.cli.command_line import FAILURE, SUCCESS
from rtserver.cli.main import main


def test_a_key_is_made_once_and_its_public_part_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    environ = {"RT_AUDIT_SIGNING_KEY_FILE": str(path)}
    assert main(["audit", "key"], environ) == FAILURE
    assert "audit key --new" in capsys.readouterr().err
    assert main(["audit", "key", "--new", "audit.example.com"], environ) == SUCCESS
    made = capsys.readouterr().out
    assert made == f"{read_key_file(path).public}\n"
    assert main(["audit", "key", "--new", "audit.example.com"], environ) == FAILURE
    assert "is there already" in capsys.readouterr().err
    assert main(["audit", "key", "--file", str(path)], {}) == SUCCESS
    assert capsys.readouterr().out == made
    assert main(["audit", "key"], {}) == FAILURE
    assert "--file" in capsys.readouterr().err
