"""The guard: runs a command that must not outlive the server, even one killed with SIGKILL.

Run as a script, never imported by the server: ``python -I -S guard.py PIPE_FD GRACE_S LIMITS
COMMAND...``, as the leader of a process group of its own. ``PIPE_FD`` is the read end of a pipe
whose write end only the server holds: the kernel closes that end however the server dies, and the
guard sees it.

``LIMITS`` are those of setrlimit(2) that the command gets, and the guard with it:
``AS=34359738368,CPU=600``. A command with limits is not trusted: it may not look into other
processes either, which as root it could. ``-`` is none.

The guard starts the command in its own process group and then waits for one of two things:

* The command ends. What it left behind in the group is ended too (SIGTERM, up to ``GRACE_S``
  seconds, SIGKILL), and the guard ends the same way: same exit status, or by the same signal.
* The pipe closes: SIGTERM to the group, up to ``GRACE_S`` seconds, SIGKILL to the group.

Only a process that leaves the group on purpose (``setsid``) gets away.

Exit statuses of its own, each with one line on stderr: 127 where the command was not found, 126
where it could not be executed, 125 where the guard itself could not work.
"""

import os
import select
import signal
import sys
import time

EXIT_GUARD_FAILED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
_NO_LIMITS = "-"

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_POLL_S = 0.02
_KILL_ROUNDS = 50
_CPU_SPARE_S = 5
_CAPABILITIES_TO_LOOK = (19, 21, 38)  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON
_PR_CAPBSET_DROP = 24


def _fail(status: int, message: str) -> None:
    os.write(2, f"{message}\n".encode(errors="surrogateescape"))
    os._exit(status)


def _die_by(signum: int) -> None:
    """End by a signal, so that who waits for the guard sees what happened to the command."""
    import resource  # noqa: PLC0415  only this path needs it, and start-up should be quick

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's core is of use, not ours
    if signum not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    os._exit(128 + signum)


def _environment() -> dict[bytes, bytes]:
    """The environment as the server gave it; the interpreter adds LC_CTYPE to ``os.environ``."""
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123  pathlib is slow to import
            entries = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    return dict(entry.split(b"=", 1) for entry in entries if entry.find(b"=") > 0)


def _limit(limits: str) -> None:
    """Take on the limits, as far as they are tighter than what there is."""
    import resource  # noqa: PLC0415  as above

    for item in filter(None, limits.split(",")):
        name, _, text = item.partition("=")
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        wanted = int(text)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # At the soft limit of processor time a signal says what it is; only then comes SIGKILL.
        spare = _CPU_SPARE_S if name == "CPU" and (limit + _CPU_SPARE_S <= hard or hard < 0) else 0
        resource.setrlimit(kind, (limit, limit + spare))


def _look_into_no_other() -> None:
    """Let root's command read memory and environment of other processes no more than a user's.

    Root may by its capabilities, of which it takes one more (CAP_SETPCAP) to be rid.
    """
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123
        bounding = int(file.read().partition(b"CapBnd:")[2].split()[0], 16)
    held = [number for number in _CAPABILITIES_TO_LOOK if bounding >> number & 1]
    if os.geteuid() == 0 and held:
        import ctypes  # noqa: PLC0415  as above

        for number in held:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def _others_in_group() -> list[int]:
    """The process ids of the group's living members other than the guard (zombies are not)."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208  pathlib is slow to import
        if not name.isdigit() or int(name) == own:
            continue
        try:
            if os.getpgid(int(name)) != own:
                continue
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state = file.read().rpartition(b")")[2].split()[0]
        except OSError:
            continue  # it ended while we looked
        if state not in (b"Z", b"X"):
            found.append(int(name))
    return found


def _end_group(grace_s: float) -> bool:
    """SIGTERM the group and wait for it to empty.

    Returns:
        Whether it did within ``grace_s`` seconds.
    """
    if not _others_in_group():
        return True
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _others_in_group():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _kill_others() -> None:
    """SIGKILL the group's other members one by one, since the guard has yet to report."""
    for _ in range(_KILL_ROUNDS):
        others = _others_in_group()
        if not others:
            return
        for pid in others:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself
        time.sleep(_POLL_S)
    os.killpg(0, signal.SIGKILL)  # it forks faster than it is killed: this takes all at once


def _spawn(command: list[str]) -> int:
    """Start the command with the guard's own stdin and default signal handling.

    Returns:
        Its process id. Where it can't be started the guard ends here.
    """
    try:
        return os.posix_spawnp(
            command[0],
            command,
            _environment(),
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # ignored by the interpreter
        )
    except FileNotFoundError:
        _fail(EXIT_NOT_FOUND, f"{command[0]}: command not found")
    except OSError as error:
        _fail(EXIT_NOT_EXECUTABLE, f"{command[0]}: cannot be executed: {error.strerror}")
    raise AssertionError  # _fail does not return


def _watch(pid: int, pipe_fd: int, grace_s: float) -> int:
    """Wait for the command or the server to end, and end what is left of the group.

    Returns:
        The command's wait status.
    """
    child_fd = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(pipe_fd, 0)  # POLLHUP is always reported
    poller.register(child_fd, select.POLLIN)
    child_ended = child_fd in dict(poller.poll())
    if not _end_group(grace_s):
        if not child_ended:
            os.killpg(0, signal.SIGKILL)
        _kill_others()
    return os.waitpid(pid, 0)[1]


def main(argv: list[str]) -> None:
    """Guard one command; see the module's description. Does not return."""
    # Blocked rather than ignored: a signal to the group must not end the guard, yet one that came
    # before the command was there must not be lost on it either.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if len(argv) < 5:
        _fail(EXIT_GUARD_FAILED, "usage: guard.py PIPE_FD GRACE_S LIMITS COMMAND [ARGUMENT...]")
    pipe_fd, grace_s, limits, command = int(argv[1]), float(argv[2]), argv[3], argv[4:]
    if os.getpgrp() != os.getpid():
        _fail(EXIT_GUARD_FAILED, "guard: must lead a process group of its own")
    try:
        os.set_inheritable(pipe_fd, False)
        os.close(os.pidfd_open(os.getpid()))
        if limits != _NO_LIMITS:
            _look_into_no_other()
            _limit(limits)
    except OSError as error:
        _fail(EXIT_GUARD_FAILED, f"guard: needs its pipe, /proc and Linux 5.3: {error.strerror}")
    for signum in signal.sigpending() & _STOP_SIGNALS:
        _die_by(signum)

    pid = _spawn(command)
    for signum in signal.sigpending() & _STOP_SIGNALS:
        os.kill(pid, signum)  # may have come just before the command was there
    try:
        # A reader must see the output end when the command closes it, not when the guard ends.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        exit_code = os.waitstatus_to_exitcode(_watch(pid, pipe_fd, grace_s))
    except BaseException:
        os.killpg(0, signal.SIGKILL)  # a guard that can't watch must not leave the command alone
        raise
    if exit_code < 0:
        _die_by(-exit_code)
    os._exit(exit_code)


if __name__ == "__main__":
    main(sys.argv)
