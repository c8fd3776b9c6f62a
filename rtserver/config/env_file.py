"""Settings in a file: lines `NAME=VALUE`, as systemd's `EnvironmentFile=` and Docker have them."""

from pathlib import Path

MAX_BYTES = 256 * 1024
QUOTES = ("'", '"')


class EnvFileError(ValueError):
    """The file can't be used. The message quotes nothing of it: there may be secrets in it."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables that a file sets; of two of one name the last.

    Empty lines are passed over, and those that begin with `#` or `;`. Quotes around a whole value
    are not part of it. Nothing else means anything: no continued lines, no other variables.

    Raises:
        EnvFileError: it can't be read, or a line is none of these.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise EnvFileError(f"it can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EnvFileError("it is no text in UTF-8") from None
    if len(content) > MAX_BYTES:
        raise EnvFileError(f"it has more than {MAX_BYTES} bytes")
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            raise EnvFileError(f"line {number} is not NAME=VALUE")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] in QUOTES and value[0] == value[-1]:
        return value[1:-1]
    return value
