"""A validator whose behaviour is its argument: the proposal's id. Uses the standard library only.

It runs in the project's workspace, as every validator does.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

MIB = 1024 * 1024


def _say(text: str, *, stream: int = 1) -> None:
    os.write(stream, text.encode() + b"\n")


def _sleep() -> None:
    time.sleep(3600)


def streams() -> int:
    """Goes on only when the test has seen the first line."""
    _say("first")
    deadline_s = time.monotonic() + 60
    while not Path("go-on").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    _say("second", stream=2)
    os.write(1, b"\x1b[32mthird\x1b[0m \xff without an end")
    return 0


def passes() -> int:
    _say("good")
    return 0


def talks() -> int:
    """Takes half a second, so that a fault may come in between."""
    for number in range(10):
        _say(f"line {number}")
        time.sleep(0.05)
    return 0


def fails() -> int:
    _say("not good")
    return 1


def other_status() -> int:
    return 3


def dies() -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    _sleep()
    return 0


def never_ends() -> int:
    _say(str(os.getpid()))
    _sleep()
    return 0


def ignores_the_end() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return never_ends()


def floods() -> int:
    line = b"x" * 1023 + b"\n"
    for _ in range(100):
        os.write(1, line * 1024)
    return 0


def one_long_line() -> int:
    os.write(1, b"y" * MIB + b"\n")  # one byte more than a pipe holds, so it has to wait
    return 0


def forks() -> int:
    """Leaves children that hold its pipes."""
    for _ in range(5):
        child = os.fork()
        if child == 0:
            _sleep()
        _say(str(child))
    return 0


def environment() -> int:
    _say(json.dumps(dict(os.environ)))
    return 0


def main() -> int:
    behaviours = {
        "streams": streams,
        "passes": passes,
        "talks": talks,
        "fails": fails,
        "other-status": other_status,
        "dies": dies,
        "never-ends": never_ends,
        "ignores-the-end": ignores_the_end,
        "floods": floods,
        "one-long-line": one_long_line,
        "forks": forks,
        "environment": environment,
    }
    # `streams.2` behaves as `streams`: a proposal's id is unique on the server.
    return behaviours[sys.argv[1].partition(".")[0]]()


if __name__ == "__main__":
    sys.exit(main())
