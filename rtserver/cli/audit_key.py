"""`audit key`: makes the key that checkpoints are signed with, or shows its public part."""

from pathlib import Path

from rtserver.audit.checkpoints.key_file import make_key_file, read_key_file
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError


def audit_key(settings: Settings, new_name: str | None, path: Path | None) -> int:
    """Print the public key, which tells others whose checkpoints these are.

    Args:
        settings: of the server.
        new_name: make a key of this name first; None: it is there.
        path: the file; the setting's unless given.

    Raises:
        OperatorError: the file can't be made or read.
    """
    path = path or settings.audit_signing_key_file
    if path is None:
        raise OperatorError("which file: give --file, or set RT_AUDIT_SIGNING_KEY_FILE")
    key = read_key_file(path) if new_name is None else make_key_file(path, new_name)
    print(key.public)
    return 0
