"""`python -m rtserver`."""

import logging
import os
import sys

from rtserver.cli.main import FAILURE, main

status = main(sys.argv[1:])
logging.shutdown()
for stream in (sys.stdout, sys.stderr):
    try:
        stream.flush()
    except OSError:  # nobody reads it any more, or there is no room for it
        status = status or FAILURE
# The interpreter would wait for the driver's threads, and they up to a second for MongoDB's answer
# to the tail's last question, which nobody wants any more.
os._exit(status)
