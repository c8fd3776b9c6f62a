"""Settings in a file."""

from pathlib import Path

import pytest

from rtserver.config.engine import SettingError
from rtserver.config.env_file import MAX_BYTES, EnvFileError, read_env_file
from rtserver.config.settings import Settings

TEXT = """
# one
; two
RT_PORT=1
 RT_PORT = 2
RT_JWT_ISSUER="https://a.example/#x=y"
RT_HOST='::1'
RT_JWT_AUDIENCE="
"""


def test_lines_are_read_as_others_read_them(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(TEXT)
    assert read_env_file(path) == {
        "RT_PORT": "2",
        "RT_JWT_ISSUER": "https://a.example/#x=y",
        "RT_HOST": "::1",
        "RT_JWT_AUDIENCE": '"',
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"RT_PORT=1\nsecret", "line 2 is not NAME=VALUE"),
        (b"RT PORT=1", "line 1"),
        (b"\xff", "UTF-8"),
        (b"#" * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_what_is_no_such_file_is_refused_unseen(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "env"
    path.write_bytes(content)
    with pytest.raises(EnvFileError, match=problem) as caught:
        read_env_file(path)
    assert "secret" not in str(caught.value)


def test_the_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("RT_PORT=1\nRT_HOST=a\nRT_LOG_LEVEL=debug\nRT_PROT=2\nPATH=/nowhere\n")
    environ = {"RT_ENV_FILE": str(path), "RT_HOST": "b"}
    settings = Settings.load(environ, {"log_level": "error"})
    assert (settings.port, settings.host, settings.log_level) == (1, "b", "error")
    assert [str(one).split()[0] for one in settings.unknown_environment] == ["RT_PROT"]
    assert Settings.load({}, {"env_file": str(path)}).host == "a"
    path.unlink()
    with pytest.raises(SettingError, match=r"RT_ENV_FILE .*can't be read"):
        Settings.load(environ, {})
