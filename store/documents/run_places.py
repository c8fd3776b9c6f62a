"""Places of runs: how many of a project are under way, one document a project.

_id        project id
entries    array of {r: run, until: end of lease}: those that have a place
asking     array of {r: run, at: when it was asked for, until}: those that asked just now
expires_at when MongoDB may remove the document (TTL index)
"""

from collections.abc import Iterable
from typing import Any

from rtserver.runs.model import Run
from store.base.client import Database
from store.base.leases import LIVE, change_or_make, renewed, until

RUN_PLACES = "run_places"
KEPT_S = 3600
ASKING_S = 3.0


class RunPlaces:
    """Places on a lease. Errors are the driver's."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._places = database[RUN_PLACES]
        self._lease_s = lease_s

    async def prepare(self) -> None:
        """Make the index that removes documents of projects that are long quiet."""
        await self._places.create_index("expires_at", expireAfterSeconds=0, name="expiry")

    async def take(self, run: Run, limit: int) -> bool:
        """Take a place; False where all are taken, or others wait who were first.

        Who waits asks again and again. Who stopped asking, because its worker can't carry out
        more, say, is in nobody's way. Taking a place twice is taking it once.
        """
        # `$literal`: an id that begins with a dollar sign must not be read as an expression.
        me = {"$literal": run.run_id}
        at = {"$literal": run.started_at}
        before_me = {
            "$or": [
                {"$lt": ["$$this.at", at]},
                {"$and": [{"$eq": ["$$this.at", at]}, {"$lt": ["$$this.r", me]}]},
            ]
        }
        place = {"r": me, "until": until(self._lease_s)}
        wish = {"r": me, "at": at, "until": until(ASKING_S)}
        change: list[dict[str, Any]] = [
            {
                "$set": {
                    "entries": _live("entries", {"$ne": ["$$this.r", me]}),
                    "asking": _live("asking", {"$ne": ["$$this.r", me]}),
                    "expires_at": until(self._lease_s + KEPT_S),
                }
            },
            {
                "$set": {
                    "granted": {
                        "$lt": [
                            {
                                "$add": [
                                    {"$size": "$entries"},
                                    {"$size": {"$filter": {"input": "$asking", "cond": before_me}}},
                                ]
                            },
                            limit,
                        ]
                    }
                }
            },
            {
                "$set": {
                    "entries": _with("entries", place, {"$eq": ["$granted", True]}),
                    "asking": _with("asking", wish, {"$eq": ["$granted", False]}),
                }
            },
            {"$unset": "granted"},
        ]
        document = await change_or_make(self._places, run.project_id, change)
        return any(entry["r"] == run.run_id for entry in document["entries"])

    async def release(self, run: Run) -> None:
        """Give a place back, or stop asking for one."""
        mine = {"r": run.run_id}
        await self._places.update_one(
            {"_id": run.project_id}, {"$pull": {"entries": mine, "asking": mine}}
        )

    async def renew(self, runs: Iterable[Run]) -> None:
        """Give places a new lease, where they are still there.

        A place that is gone is not put back: it may have been given back a moment ago. So after an
        outage of MongoDB there may be more runs under way than may begin, for a while.
        """
        known = list(runs)
        await self._places.update_many(
            {"_id": {"$in": list({run.project_id for run in known})}},
            [
                {
                    "$set": {
                        "entries": renewed("r", [run.run_id for run in known], self._lease_s),
                        "expires_at": until(self._lease_s + KEPT_S),
                    }
                }
            ],
        )


def _live(name: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {
        "$filter": {
            "input": {"$ifNull": [f"${name}", []]},
            "cond": {"$and": [LIVE, condition]},
        }
    }


def _with(name: str, entry: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
    return {"$cond": [condition, {"$concatArrays": [f"${name}", [entry]]}, f"${name}"]}
