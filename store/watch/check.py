"""The check of a watch: whether its collection is there and can be followed."""

from typing import Any

from pymongo.errors import OperationFailure

from rtserver.model.watch import Watch
from store.base.client import server_version
from store.watch.change_stream import IMAGES_SINCE, OPEN_TIMEOUT_MS, change_pipeline, wants_images
from store.watch.plain_json import FOREIGN


async def watch_problems(client: Any, watch: Watch) -> list[str]:
    """What is in the way of following a collection, in words; empty where nothing is.

    Raises:
        DatabaseError: MongoDB does not answer.
    """
    database = client[watch.database]
    version = await server_version(database)
    try:
        reply = await database.command(
            {
                "aggregate": watch.collection,
                "pipeline": change_pipeline(watch, None, version),
                "cursor": {"batchSize": 0},
                "maxTimeMS": OPEN_TIMEOUT_MS,
            },
            codec_options=FOREIGN,
        )
        await database.command(
            {"killCursors": watch.collection, "cursors": [reply["cursor"]["id"]]}
        )
        found = await database.command({"listCollections": 1, "filter": {"name": watch.collection}})
    except OperationFailure as error:
        what = f"RT_WATCH {watch.name}: MongoDB does not let {watch.namespace} be followed"
        return [f"{what} ({error.code}): its user needs changeStream and find on it"]
    descriptions = found["cursor"]["firstBatch"]
    if not descriptions:
        return [
            f"RT_WATCH {watch.name}: there is no collection {watch.namespace} (yet); "
            "is it written right?"
        ]
    if descriptions[0].get("type") != "collection":
        return [f"RT_WATCH {watch.name}: {watch.namespace} is no collection; views have no changes"]
    if wants_images(watch):
        return _image_problems(watch, version, descriptions[0]["options"])
    return []


def _image_problems(watch: Watch, version: tuple[int, int], options: dict[str, Any]) -> list[str]:
    begin = f"RT_WATCH {watch.name}: deletions cannot be told, since MongoDB"
    if version < IMAGES_SINCE:
        return [f"{begin} before 6.0 does not keep what was deleted; say on=insert,update"]
    if options.get("changeStreamPreAndPostImages", {}).get("enabled"):
        return []
    return [
        f"{begin} is not told to keep what was deleted; say on=insert,update or run "
        f"db.getSiblingDB('{watch.database}').runCommand({{collMod: '{watch.collection}', "
        "changeStreamPreAndPostImages: {enabled: true}})"
    ]
