"""What can go wrong with the private mongod; each message says what to do about it.

* `MongodError`: the base of all.

  * `MongodNotFound`: there is no mongod on this host.
  * `DataDirInUse`: another process holds the data directory.
  * `MongodFailed`: mongod could not be started, or did not become writable.

The names say what is the case, and need no suffix for that.
"""


class MongodError(Exception):
    """The private mongod can't be had; the message is for the operator."""


class MongodNotFound(MongodError):  # noqa: N818
    """No mongod on PATH, nor in an installed wheel."""


class DataDirInUse(MongodError):  # noqa: N818
    """Another process holds the data directory.

    Attributes:
        pid: Its process id, or None where it isn't known.
    """

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class MongodFailed(MongodError):  # noqa: N818
    """mongod ended, or did not become writable in time; the message has its last words."""
