"""Where the server's own files are, and where it keeps what it makes."""

from pathlib import Path

from rtserver.config.settings import Settings
from rtserver.lib.data_folder import make_folder
from rtserver.model.errors import OperatorError

SERVER_ROOT = Path(__file__).resolve().parents[2]


def make_data_folder(settings: Settings) -> None:
    """Make the data directory where it is not there yet, before anybody makes a folder in it.

    Raises:
        OperatorError: it can't be made.
    """
    try:
        make_folder(settings.data_dir, settings.folder_mode)
    except OSError as error:
        raise OperatorError(
            f"cannot make the data directory {settings.data_dir} ({error.strerror}): "
            "set RT_DATA_DIR to one that can be written to"
        ) from error
