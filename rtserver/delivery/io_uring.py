"""One batch to many sockets in one system call, by Linux's io_uring.

A thousand sends are a thousand system calls, each with the interpreter's work around it. Handed in
together the kernel does them one after the other, and the interpreter's work is done once. None of
them waits: what a socket does not take at once is left to the caller.

The interface is the kernel's and stays as it is: io_uring_setup(2), io_uring_enter(2). There is no
library for it that comes without a compiler, hence `ctypes`.
"""

import ctypes
import errno
import mmap
import os
import socket
import sys
from array import array
from collections.abc import Sequence

ENTRIES = 128
"""So many are handed in at a time: more save nothing, and the first would wait until the last is
made ready. They take 12 KiB."""

_SETUP, _ENTER = 425, 426  # system calls of Linux, on every processor since they came
_SUBMIT_ALL = 1 << 7  # a send that can't even begin keeps none of the others; since Linux 5.18
_GETEVENTS = 1
_OP_SEND = 26
_SQES_OFFSET = 0x10000000
_SQE_BYTES, _CQE_BYTES = 64, 16
_UINT32 = 1 << 32


class NoRingError(Exception):
    """The kernel gives this process no ring."""


class _Params(ctypes.Structure):
    """`struct io_uring_params`: what is asked for, and where in the shared memory things are."""

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("others", ctypes.c_uint32 * 7),
        ("sq_off", ctypes.c_uint32 * 10),
        ("cq_off", ctypes.c_uint32 * 10),
    )


class SendRing:
    """Sends to many sockets. One thread's; `close` it in the end.

    Attributes:
        failure: why it sends nothing any more; None while it does.
    """

    def __init__(self, entries: int = ENTRIES) -> None:
        """Ask the kernel for a ring.

        Args:
            entries: how many sends are handed in at a time, a power of two.

        Raises:
            NoRingError: there is none: another system, an older kernel, or it is not allowed.
        """
        if sys.platform != "linux":
            raise NoRingError("This is not Linux")  # these numbers mean other calls there
        library = ctypes.CDLL(None, use_errno=True)
        setup, self._call = library["syscall"], library["syscall"]
        setup.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p)
        self._call.argtypes = (*[ctypes.c_long] * 5, ctypes.c_void_p, ctypes.c_long)
        setup.restype = self._call.restype = ctypes.c_long
        params = _Params(flags=_SUBMIT_ALL)
        self._fd: int = setup(_SETUP, entries, ctypes.byref(params))
        if self._fd < 0:
            raise NoRingError(os.strerror(ctypes.get_errno()))
        self.failure: str | None = None
        self._entries = entries
        self._completions: int = params.cq_entries
        _, sq_tail, _, _, _, _, sq_array, *_ = params.sq_off
        cq_head, cq_tail, _, _, _, cqes, *_ = params.cq_off
        cqes_end = cqes + self._completions * _CQE_BYTES
        try:
            rings = mmap.mmap(self._fd, max(cqes_end, sq_array + entries * 4))
            sqes = mmap.mmap(self._fd, entries * _SQE_BYTES, offset=_SQES_OFFSET)
        except OSError as error:
            os.close(self._fd)
            raise NoRingError(os.strerror(error.errno or 0)) from error
        self._words = memoryview(rings)[: len(rings) // 4 * 4].cast("I")
        self._sq_tail, self._cq_head, self._cq_tail = sq_tail // 4, cq_head // 4, cq_tail // 4
        self._words[sq_array // 4 : sq_array // 4 + entries] = array("I", range(entries))
        self._cqes = memoryview(rings)[cqes:cqes_end]
        # `struct io_uring_sqe`, whose fields have different sizes. What is the same for all sends
        # is written once, the rest into these views: of each entry one field.
        plain = memoryview(sqes)
        plain[::_SQE_BYTES] = bytes([_OP_SEND]) * entries
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        plain.cast("I")[7::16] = array("I", [flags]) * entries
        plain.cast("Q")[4::8] = array("Q", range(entries))  # given back with the result
        self._fds = plain.cast("i")[1::16]
        self._addresses = plain.cast("Q")[2::8]
        self._sizes = plain.cast("I")[6::16]

    def send(self, fds: Sequence[int], data: bytes) -> "array[int]":
        """Send the same to each, in their order. Never waits.

        Args:
            fds: sockets; the kernel refuses a number that is no socket, like any send that fails.
            data: what to send.

        Returns:
            For each how many bytes it took; where it took none, an error's number as a negative.
            Where the ring itself fails, `failure` says so, and what was not sent has `-EAGAIN`.
        """
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        taken = array("i")
        for start in range(0, len(fds), self._entries):
            part = array("i", fds[start : start + self._entries])
            if self.failure is None:
                taken += self._send_part(part, address, len(data))
            else:
                taken += array("i", [-errno.EAGAIN]) * len(part)
        return taken

    def _send_part(self, fds: "array[int]", address: int, size_bytes: int) -> "array[int]":
        words, count, entries = self._words, len(fds), self._entries
        tail = words[self._sq_tail]
        begin = tail % entries
        whole = min(count, entries - begin)  # the rest begins at the first entry again
        for at, part in ((begin, fds[:whole]), (0, fds[whole:])):
            end = at + len(part)
            self._fds[at:end] = part
            self._addresses[at:end] = array("Q", [address]) * len(part)
            self._sizes[at:end] = array("I", [size_bytes]) * len(part)
        words[self._sq_tail] = (tail + count) % _UINT32
        handed_in = self._enter(count)
        if handed_in < count:
            words[self._sq_tail] = (tail + handed_in) % _UINT32  # it reads this when called only
        slots, results = self._results(handed_in)
        if results.count(size_bytes) == count:
            return results  # as nearly always: in whatever order they ended, it is the same
        taken = array("i", [-errno.EAGAIN]) * count
        for slot, result in zip(slots, results, strict=True):
            taken[(slot - begin) % entries] = result
        return taken

    def _enter(self, count: int) -> int:
        """Hand in so many and let them be done; how many were."""
        handed_in: int = self._call(_ENTER, self._fd, count, count, _GETEVENTS, None, 0)
        if handed_in != count:
            self.failure = os.strerror(ctypes.get_errno())
        return max(0, handed_in)

    def _results(self, count: int) -> "tuple[array[int], array[int]]":
        """Entries and results of so many, which are all there: none of them had to wait."""
        words = self._words
        head = words[self._cq_head]
        ready = (words[self._cq_tail] - head) % _UINT32
        if ready != count and self.failure is None:
            self.failure = f"{ready} of {count} sends came to an end"
        first = head % self._completions
        whole = min(ready, self._completions - first)
        found = array("i", self._cqes[first * _CQE_BYTES : (first + whole) * _CQE_BYTES].tobytes())
        found.frombytes(self._cqes[: (ready - whole) * _CQE_BYTES].tobytes())
        words[self._cq_head] = (head + ready) % _UINT32
        return found[0::4], found[2::4]

    def close(self) -> None:
        """Give it back. It sends nothing any more."""
        self.failure = "closed"
        os.close(self._fd)
        # Python keeps a descriptor of its own for each piece of memory, until nobody looks at it.
        del self._words, self._cqes, self._fds, self._addresses, self._sizes
