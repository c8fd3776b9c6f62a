"""`python -m rtserver`, and the command `rtserver` of an installed package."""

import logging
import os
import sys
from typing import NoReturn

from rtserver.cli.clean_start import start_clean


def run() -> NoReturn:
    """Run the command that the process was started with, and end the process with its status."""
    arguments, environ = start_clean(sys.argv[1:])
    # Not before: it is most of what a start costs, and the process may just have been executed
    # anew.
    if arguments[:1] == ["master"]:
        from rtserver.cli.master import main  # noqa: PLC0415
    else:
        from rtserver.cli.main import main  # noqa: PLC0415

    status = main(arguments, environ)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more, or there is no room for it
            status = status or 1
    # The interpreter would wait for the driver's threads, and they up to a second for MongoDB's
    # answer to the tail's last question, which nobody wants any more.
    os._exit(status)


if __name__ == "__main__":
    run()
