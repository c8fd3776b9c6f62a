"""Swap two names in one step: Linux's renameat2(2) with RENAME_EXCHANGE.

Python's `os` does not offer it, and nothing else lets a file be replaced without a moment in which
somebody else's newer version could be lost: after a plain rename what was there is gone, after a
swap it is in hand and can be looked at, and swapped back.
"""

import ctypes
import errno
import functools
import os
from collections.abc import Callable

_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None  # another system, or glibc before 2.28
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int
    result: Callable[..., int] = function
    return result


def exchange(first: str, second: str, *, first_dir_fd: int, second_dir_fd: int) -> bool:
    """Swap two names, each relative to an open folder; neither is followed if it is a link.

    Returns:
        False where the system or the file system can't; then nothing was done.

    Raises:
        OSError: it could, and something else was in the way.
    """
    call = _renameat2()
    if call is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    if call(first_dir_fd, names[0], second_dir_fd, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), second)
