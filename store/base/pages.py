"""Pages of a query: bounded in number and in bytes, read in steps that hold nobody up."""

from collections.abc import Callable
from typing import Any, TypeVar

import bson

T = TypeVar("T")

BATCH_DOCUMENTS = 100
"""A batch is decoded in one go, and nothing else runs meanwhile."""


async def page_of(
    cursor: Any, make: Callable[[dict[str, Any]], T], *, limit: int, max_bytes: int
) -> tuple[list[T], bool]:
    """The first of what a query finds, and whether there is more.

    Args:
        cursor: the query, sorted.
        make: what to make of a document.
        limit: so many at most.
        max_bytes: of the documents together; the first one is there whatever it has.
    """
    found: list[T] = []
    size_bytes = 0
    try:
        async for document in cursor.limit(limit + 1).batch_size(BATCH_DOCUMENTS):
            size_bytes += len(bson.encode(document))
            if len(found) == limit or (found and size_bytes > max_bytes):
                return found, True
            found.append(make(document))
    finally:
        await cursor.close()
    return found, False
