"""Somebody else's application: keeps notes in MongoDB, and has never heard of this server.

    python note_keeper.py URI DATABASE INTERVAL_S

It inserts notes 0, 1, 2, ... and marks each as done once it is in, until SIGTERM. Then it writes
how many there are. What it got no answer to it does again, as one has to.
"""

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, PyMongoError


def _surely(act: Callable[[Any], object], about: object) -> None:
    while True:
        try:
            act(about)
        except DuplicateKeyError:
            return  # it was in, and the answer was lost
        except PyMongoError:
            time.sleep(0.05)
        else:
            return


def main(uri: str, database: str, interval_s: float) -> None:
    """Keep notes."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    client: MongoClient[dict[str, Any]] = MongoClient(
        uri, w="majority", serverSelectionTimeoutMS=2_000, wTimeoutMS=5_000
    )
    notes = client[database].notes
    number = 0
    while not ended:
        _surely(notes.insert_one, {"_id": number, "project": "p1", "n": number, "done": False})
        _surely(lambda n: notes.update_one({"_id": n}, {"$set": {"done": True}}), number)
        number += 1
        time.sleep(interval_s)
    sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
