"""Pages of a query, bounded in number and in bytes."""

import pytest

from store.base.client import Database
from store.base.pages import page_of


@pytest.mark.parametrize(
    ("limit", "max_bytes", "ids", "more"),
    [
        (10, 10_000, [0, 1, 2, 3, 4], False),
        (5, 10_000, [0, 1, 2, 3, 4], False),
        (4, 10_000, [0, 1, 2, 3], True),
        (10, 350, [0, 1, 2], True),  # about 115 bytes each
        (10, 1, [0], True),
        (1, 1, [0], True),
    ],
)
@pytest.mark.gen_test
async def test_a_page_ends_at_the_first_of_its_bounds(
    db: Database, limit: int, max_bytes: int, ids: list[int], more: bool
) -> None:
    await db["things"].insert_many([{"_id": number, "text": "x" * 90} for number in range(5)])
    cursor = db["things"].find().sort("_id", 1)
    page = await page_of(cursor, lambda found: found["_id"], limit=limit, max_bytes=max_bytes)
    assert page == (ids, more)


@pytest.mark.gen_test
async def test_nothing_is_a_page_too(db: Database) -> None:
    cursor = db["things"].find()
    assert await page_of(cursor, dict, limit=5, max_bytes=100) == ([], False)
