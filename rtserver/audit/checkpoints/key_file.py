"""The file with the key that checkpoints are signed with."""

import os
import secrets
import stat
from pathlib import Path

from rtserver.audit.checkpoints.note import NoteError, SigningKey
from rtserver.model.errors import OperatorError

MAX_BYTES = 1024


def make_key_file(path: Path, name: str) -> SigningKey:
    """Make a key, and write it where only its owner reads it. A file that is there is left alone.

    Raises:
        OperatorError: there is a file, or it can't be written, or that is no name.
    """
    try:
        key = SigningKey(name, secrets.token_bytes(32))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except NoteError as error:
        raise OperatorError(str(error)) from None
    except FileExistsError:
        raise OperatorError(
            f"{path} is there already: what is signed with it could not be told apart"
        ) from None
    except OSError as error:
        raise OperatorError(f"{path} can't be written ({error.strerror})") from error
    with os.fdopen(fd, "w") as file:
        file.write(f"{key.text()}\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key_file(path: Path) -> SigningKey:
    """Read the key.

    Raises:
        OperatorError: it is not there, is no key, or others than its owner may read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise OperatorError(
            f"the key in {path} can't be read ({error.strerror}): make one with `python -m "
            "rtserver audit key --new NAME`, see RT_AUDIT_SIGNING_KEY_FILE"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OperatorError(
            f"others than its owner may read or write {path}: chmod 600, and if somebody could "
            "have read it, make another one"
        )
    try:
        return SigningKey.parse(content.decode("ascii").strip())
    except (NoteError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, NoteError) else "it is no text"
        raise OperatorError(f"{path} holds no key for checkpoints: {reason}") from None
