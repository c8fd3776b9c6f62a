"""Packing: publications, and the packs that they go into."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtserver.eventlog.api import Fence, PublicationTooLargeError, Published
from rtserver.model.events import EventDraft, PreparedDrafts, pack_item
from store.log.collection import MAX_EVENTS_PER_PACK, MAX_PACK_BYTES, pack_document

MAX_PUBLICATION_BYTES = 15 * 1024 * 1024  # a document of MongoDB has 16 MiB at most

TAKES = f"one publication takes 1 to {MAX_EVENTS_PER_PACK} events of one project"

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(slots=True)
class Publication:
    """What one call of `publish` handed in.

    Attributes:
        items: its events as `rtserver.model.events.EventPack.items` describes them.
        size_bytes: about what they take up.
        done: gets the answer.
        key: makes a second publication under it harmless.
        digest: of the content, where there is a key.
        fence: the condition on which it may be appended.
    """

    project_id: str
    items: list[dict[str, Any]]
    size_bytes: int
    done: "asyncio.Future[Published]"
    key: str | None = None
    digest: str | None = None
    fence: Fence | None = None


@dataclass(slots=True)
class Packing:
    """A pack on its way: one document of the log.

    Attributes:
        identity: its `_id`, the same through all attempts.
        digest: that of its one publication, where that has a key.
        first: its place in the sequence, as it is believed to be.
        fence: that of all its publications, so that it goes in or is refused as a whole.
    """

    project_id: str
    identity: Any
    digest: str | None
    publications: list[Publication] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    size_bytes: int = 0
    first: int = 0
    fence: Fence | None = None

    def add(self, publication: Publication) -> None:
        """Put a publication into it, after those that are there."""
        self.publications.append(publication)
        self.items.extend(publication.items)
        self.size_bytes += publication.size_bytes

    def takes(self, publication: Publication) -> bool:
        """Whether there is room; one with a key stands alone."""
        return (
            publication.key is None
            and self.digest is None
            and publication.fence is self.fence
            and len(self.items) + len(publication.items) <= MAX_EVENTS_PER_PACK
            and self.size_bytes + publication.size_bytes <= MAX_PACK_BYTES
        )

    def fail(self, error: Exception) -> None:
        """Tell its publishers that it is not stored."""
        for publication in self.publications:
            if not publication.done.done():
                publication.done.set_exception(error)

    def is_settled(self) -> bool:
        """Whether all its publishers have their answer."""
        return all(publication.done.done() for publication in self.publications)

    def document(self) -> dict[str, Any]:
        """The document to insert."""
        return pack_document(self.identity, self.project_id, self.first, self.items, self.digest)


def publication_of(
    drafts: Sequence[EventDraft],
    key: str | None,
    *,
    fence: Fence | None = None,
    limit_bytes: int = MAX_PUBLICATION_BYTES,
) -> Publication:
    """What a call of `publish` hands in.

    Args:
        drafts: 1 to 500 events of one project.
        key: makes a second publication under it harmless.
        fence: the condition on which it may be appended.
        limit_bytes: how large all of it may be: a small part of the buffer.

    Raises:
        ValueError: they are none, too many, or of several projects.
        PublicationTooLargeError: they are too large to be stored together.
    """
    if not 1 <= len(drafts) <= MAX_EVENTS_PER_PACK:
        raise ValueError(TAKES)
    if isinstance(drafts, PreparedDrafts):
        project_id, items = drafts.project_id, drafts.items
        digest = None if key is None else drafts.digest
        size_bytes = 64 * len(items) + drafts.size_bytes
    else:
        project_id, items, digest = _prepare(drafts, key)
        size_bytes = sum(map(_size_bytes, items))
    if size_bytes > limit_bytes:
        raise PublicationTooLargeError(limit_bytes)
    done: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    # Retrieved here too, or a failure that nobody waits for any more would be logged as lost.
    done.add_done_callback(lambda future: future.cancelled() or future.exception())
    return Publication(project_id, items, size_bytes, done, key, digest, fence)


def _prepare(
    drafts: Sequence[EventDraft], key: str | None
) -> tuple[str, list[dict[str, Any]], str | None]:
    """Project, stored form, and where there is a key the digest."""
    projects = {draft.project_id for draft in drafts}
    if len(projects) != 1:
        raise ValueError(TAKES)
    items = [pack_item(draft) for draft in drafts]
    digest = None
    if key is not None:
        content = [
            (draft.type, draft.proposal_id, item.get("a"), draft.fields)
            for draft, item in zip(drafts, items, strict=True)
        ]
        digest = hashlib.sha256(_encode(content)).hexdigest()
    return projects.pop(), items, digest


def _size_bytes(item: dict[str, Any]) -> int:
    body: str = item["b"]
    return 64 + (len(body) if body.isascii() else len(body.encode()))
