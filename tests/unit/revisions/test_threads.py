from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.model.errors import InvalidError
from rtserver.reviews.comments import Anchor, Comment
from rtserver.revisions.model import NoRevisionError, Revision, files_of
from rtserver.revisions.threads import ThreadService

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = {1: "# A\nquote\n", 2: "new\n# A\nquote\n", 3: "# A\n"}


class Revisions:
    """Three revisions of one file."""

    async def get(self, _identity: Any, _proposal_id: str, number: str) -> Revision:
        if int(number) not in TEXTS:
            raise NoRevisionError("there is none")
        files, _ = files_of({"a.md": TEXTS[int(number)].encode()}, None)
        return Revision("p", "p1", int(number), "sha256:", NOW, None, "disk", files)  # type: ignore[arg-type]

    async def content(self, revision: Revision, path: str) -> tuple[Any, bytes]:
        return revision.file(path), TEXTS[revision.number].encode()


class Proposals:
    """One proposal, at a revision that a test says."""

    def __init__(self, newest: int) -> None:
        self.newest = newest

    async def get(self, _proposal_id: str) -> Any:
        ref = type("Ref", (), {"number": self.newest})
        return type("Proposal", (), {"revision": ref, "project_id": "p1"})


class Everybody:
    """May open every project."""

    def may_open(self, _project_id: str) -> bool:
        return True


def _threads(newest: int) -> ThreadService:
    parts: Any = (None, Proposals(newest), Revisions())
    return ThreadService(*parts)


@pytest.mark.parametrize(
    ("newest", "place"),
    [(1, {"revision": 1, "line": 2}), (2, {"revision": 2, "line": 3}), (3, None)],
)
@pytest.mark.gen_test
async def test_places_are_found_in_the_newest_revision(newest: int, place: Any) -> None:
    comments = [
        Comment("c1", "p", "p1", "ben", "Ben", "x", NOW, Anchor(1, "a.md", "A", "quote", 2)),
        Comment("c2", "p", "p1", "ben", "Ben", "x", NOW),
    ]
    who: Any = Everybody()
    about, plain = await _threads(newest).shown(who, "p", comments)
    assert (about["place"], about["outdated"]) == (place, place is None)
    assert "place" not in plain


@pytest.mark.parametrize(
    "anchor",
    [
        Anchor(9, "a.md"),
        Anchor(1, "b.md"),
        Anchor(1, "a.md", line=0),
        Anchor(1, "a.md", line=4),
        Anchor(1, "a.md", heading="x" * 1000),
        Anchor(1, "a.md", quote="\x00"),
    ],
)
@pytest.mark.gen_test
async def test_an_anchor_that_names_no_place(anchor: Anchor) -> None:
    who: Any = Everybody()
    with pytest.raises(InvalidError):
        await _threads(1)._checked(who, "p", anchor)
