"""Runs a command and prints what it prints line by line, slowly enough to be watched.

OpenSpec prints nothing while it works and then all at once. So that there is something to follow,
to cancel and to reconnect to, the demo passes on what it says of one proposal at this pace. The
words and the verdict are OpenSpec's own; a line before them says what is done here. Standard
library only: it runs as a script, `python slowly.py LINES_A_SECOND COMMAND...`.
"""

import subprocess
import sys
import time

NOTE = (
    "(OpenSpec works on this demo proposal for some seconds and then says all at once. So that you "
    "can watch, its words are passed on {} lines a second.)"
)
EXIT_NOT_FOUND = 127
"""As a shell has it."""


def main(lines_a_second: int, command: list[str]) -> int:
    """Run a command; its exit status, or 128 and the signal's number as a shell gives it."""
    sys.stdout.write(NOTE.format(lines_a_second) + "\n")
    sys.stdout.flush()
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return EXIT_NOT_FOUND
    # Read at the pace at which it is printed: the pipe holds the command back, not the memory.
    with process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            time.sleep(1 / lines_a_second)
    code = process.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
