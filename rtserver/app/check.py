"""What `check` says of MongoDB."""

from rtserver.app.mongo import NO_REPLICA_SET, MongoAccess
from rtserver.config.settings import Settings
from store.base.client import DatabaseError, is_replica_set, server_version
from store.log.collection import EVENTS, size_difference
from store.watch.check import watch_problems
from store.watch.places import MongoWatchPlaces

MONGODB_AT_LEAST = (5, 0)
WATCH_STALLED_S = 60.0


async def check_database(settings: Settings) -> list[str]:
    """What is wrong with MongoDB, in words; empty where nothing is.

    Raises:
        OperatorError: there is no MongoDB to be had.
    """
    mongo = MongoAccess(settings)
    try:
        database = await mongo.open(beside=True)
        major, minor = await server_version(database)
        problems = []
        if (major, minor) < MONGODB_AT_LEAST:
            problems.append(
                f"MongoDB is {major}.{minor}; rtserver needs {'.'.join(map(str, MONGODB_AT_LEAST))}"
            )
        if not await is_replica_set(database):
            problems.append(NO_REPLICA_SET)
        problem = await size_difference(database, EVENTS, settings.event_log_bytes)
        if problem is not None:
            problems.append(problem)
        for watch in settings.watches:
            problems += await watch_problems(database.client, watch)
        places = MongoWatchPlaces(database, lease_s=settings.lease_s)
        for watch in settings.watches:
            stalled = await places.stalled(watch.name, WATCH_STALLED_S)
            if stalled is not None:
                for_s, why = stalled
                problems.append(
                    f"RT_WATCH {watch.name}: it has failed for {for_s:.0f} s and not moved: {why}"
                )
    except DatabaseError as error:
        return [f"MongoDB does not answer ({type(error).__name__}): is RT_MONGODB_URI right?"]
    else:
        return problems
    finally:
        await mongo.close()
