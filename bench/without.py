"""A worker without one of its quicker ways, to measure what that way gains.

With `BENCH_WITHOUT=io_uring` or `=log_connections` every benchmark starts its server by this, as
`python -m bench.without serve`. Operators have no setting for it.
"""

import os
import runpy
from unittest.mock import patch

from rtserver.delivery.io_uring import NoRingError, SendRing

VARIABLE = "BENCH_WITHOUT"


def take_away(way: str) -> None:
    """Take a way from this process.

    Raises:
        ValueError: there is none of that name.
    """
    match way:
        case "io_uring":
            patch.object(
                SendRing, "__init__", side_effect=NoRingError(f"{VARIABLE} is set")
            ).start()
        case "log_connections":
            patch("rtserver.app.mongo.is_plain", return_value=False).start()
        case _:
            raise ValueError(f"{VARIABLE} is io_uring or log_connections, not {way!r}")


if __name__ == "__main__":
    take_away(os.environ[VARIABLE])
    runpy.run_module("rtserver", run_name="__main__", alter_sys=True)
