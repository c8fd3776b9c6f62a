"""`python -m rtserver`."""

import logging
import os
import sys

from rtserver.cli.clean_start import start_clean

arguments, environ = start_clean(sys.argv[1:])

# Not before: it is most of what a start costs, and the process may just have been executed anew.
if arguments[:1] == ["master"]:
    from rtserver.cli.master import main
else:
    from rtserver.cli.main import main

status = main(arguments, environ)
logging.shutdown()
for stream in (sys.stdout, sys.stderr):
    try:
        stream.flush()
    except OSError:  # nobody reads it any more, or there is no room for it
        status = status or 1
# The interpreter would wait for the driver's threads, and they up to a second for MongoDB's answer
# to the tail's last question, which nobody wants any more.
os._exit(status)
