import pytest

from rtserver.eventlog.api import Fence, PublicationTooLargeError, Published
from rtserver.model.events import EventDraft
from store.log.collection import MAX_EVENTS_PER_PACK, MAX_PACK_BYTES
from store.log.packing import Packing, publication_of
from tests.support.fakes import draft


@pytest.mark.parametrize(
    "drafts",
    [[], [draft()] * (MAX_EVENTS_PER_PACK + 1), [draft("p1"), draft("p2")]],
    ids=["none", "too many", "of two projects"],
)
@pytest.mark.gen_test
async def test_a_publication_is_some_events_of_one_project(drafts: list[EventDraft]) -> None:
    with pytest.raises(ValueError, match="one publication takes 1 to"):
        publication_of(drafts, None)


@pytest.mark.gen_test
async def test_a_publication_is_bounded_by_its_bytes_and_not_by_its_characters() -> None:
    assert publication_of([draft(text="x" * 600)], None, limit_bytes=1000).size_bytes < 1000
    with pytest.raises(PublicationTooLargeError) as refused:
        publication_of([draft(text="\u00fc" * 600)], None, limit_bytes=1000)
    assert "1000 bytes" in str(refused.value)


@pytest.mark.gen_test
async def test_the_digest_is_of_the_content_and_there_only_with_a_key() -> None:
    one, same, other = draft(n=1), draft(n=1), draft(n=2)
    assert publication_of([one], None).digest is None
    digest = publication_of([one], "k").digest
    assert digest == publication_of([same], "another key").digest
    assert digest != publication_of([other], "k").digest
    assert digest != publication_of([one, one], "k").digest
    elsewhere = EventDraft("p1", one.type, one.fields, proposal_id="a", ts=one.ts)
    assert digest != publication_of([elsewhere], "k").digest


@pytest.mark.gen_test
async def test_a_pack_takes_what_fits_under_the_same_condition() -> None:
    fence = Fence(frozenset({"ended"}), "r1", 0)
    packing = Packing("p1", "id", None)
    packing.add(publication_of([draft()], None))
    assert packing.takes(publication_of([draft()] * (MAX_EVENTS_PER_PACK - 1), None))
    assert not packing.takes(publication_of([draft()] * MAX_EVENTS_PER_PACK, None))
    assert not packing.takes(publication_of([draft(text="x" * MAX_PACK_BYTES)], None))
    assert not packing.takes(publication_of([draft()], "a key stands alone"))
    assert not packing.takes(publication_of([draft()], None, fence=fence))
    alone = Packing("p1", "id", "the digest of the one that is in it")
    assert not alone.takes(publication_of([draft()], None))


@pytest.mark.gen_test
async def test_a_pack_that_fails_tells_those_who_still_wait() -> None:
    packing = Packing("p1", "id", None)
    answered, waiting = publication_of([draft()], None), publication_of([draft()], None)
    packing.add(answered)
    packing.add(waiting)
    answered.done.set_result(Published("e0", 1, 1))
    assert not packing.is_settled()
    packing.fail(ConnectionError("gone"))
    assert packing.is_settled()
    assert answered.done.result().first == 1
    with pytest.raises(ConnectionError):
        waiting.done.result()
