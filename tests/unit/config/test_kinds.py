import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.config.engine import SettingError
from rtserver.config.kinds import KIB, MIB, format_bytes
from rtserver.config.settings import Settings


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4096", 4096),
        ("64KiB", 64 * KIB),
        ("64 kib", 64 * KIB),
        ("1MiB", MIB),
        ("1GiB", 1024 * MIB),
        ("8192B", 8192),
    ],
)
def test_bytes_are_plain_or_with_a_binary_unit(text: str, count: int) -> None:
    assert Settings.load({"RT_OUTBOX_BYTES": text}, {}).outbox_bytes == count


@given(st.integers(min_value=4 * KIB, max_value=1024 * MIB))
def test_bytes_as_they_are_shown_are_read_back(count: int) -> None:
    shown = format_bytes(count).replace(" bytes", "")
    assert Settings.load({"RT_OUTBOX_BYTES": shown}, {}).outbox_bytes == count


def test_origins_are_kept_as_browsers_write_them() -> None:
    text = (
        "https://App.Example.com:443/, http://localhost:3000,http://[::1]:80,http://localhost:3000"
    )
    assert Settings.load({"RT_ALLOWED_ORIGINS": text}, {}).allowed_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]",
    )


def test_paths_are_absolute() -> None:
    settings = Settings.load({"RT_DATA_DIR": "data", "RT_WORKSPACE_ROOT": "~/work"}, {})
    assert settings.data_dir == Path.cwd() / "data"
    assert settings.workspace_root == Path.home() / "work"
    assert settings.workspaces_dir == Path.home() / "work"


def test_seconds_are_finite_numbers() -> None:
    assert math.isclose(Settings.load({"RT_LEASE_S": "1e1"}, {}).lease_s, 10)


def test_modes_of_folders_are_octal() -> None:
    for text, mode in (("0700", 0o700), ("750", 0o750), ("0777", 0o777)):
        assert Settings.load({"RT_DATA_DIR_MODE": text}, {}).folder_mode == mode
    for text in ("448", "0o700", "0600", "1777", "0788", "rwx"):
        with pytest.raises(SettingError, match="octal"):
            Settings.load({"RT_DATA_DIR_MODE": text}, {})


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://a",
        "mongodb://u:p@a:1,[::1]:2,[fe80::2]:3/db?replicaSet=three",
        "mongodb://[::1]",
        "mongodb://%2Frun%2Fmongod.sock/?directConnection=true",
        "mongodb+srv://cluster.example.net/?tls=true",
    ],
)
def test_addresses_of_mongodb(uri: str) -> None:
    assert Settings.load({"RT_MONGODB_URI": uri}, {}).mongodb_uri == uri


@pytest.mark.parametrize(
    "uri", ["mongodb://", "mongodb:///db", "mongodb://u:p@", "mongodb://a b", "http://a", "a:27017"]
)
def test_what_is_no_address_of_mongodb(uri: str) -> None:
    with pytest.raises(SettingError):
        Settings.load({"RT_MONGODB_URI": uri}, {})
