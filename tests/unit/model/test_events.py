import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.model.audience import (
    WHOLE_PROJECT,
    WORKERS,
    Audience,
    members_of,
    only_users,
    viewers_of,
)
from rtserver.model.events import EventDraft, EventPack, pack_item
from tests.support.fakes import EPOCH, draft, stored

AUDIENCES = st.one_of(
    st.just(WHOLE_PROJECT),
    st.just(WORKERS),
    st.text().map(viewers_of),
    st.builds(members_of, st.text(), st.frozensets(st.text())),
    st.frozensets(st.text()).map(only_users),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON), st.none() | st.text(min_size=1), AUDIENCES)
def test_an_event_comes_back_with_its_place_and_nothing_lost(
    fields: dict[str, Any], proposal_id: str | None, audience: Audience
) -> None:
    one = EventDraft("p1", "build.done", fields, audience, proposal_id, ts="2026-01-01T00:00:00Z")
    (event,) = EventPack("p1", EPOCH, 7, 7, [pack_item(one)]).events()
    frame = json.loads(event.payload)
    assert frame == event.frame()
    own = {"id": "e0e0-7", "type": "build.done", "project_id": "p1", "ts": "2026-01-01T00:00:00Z"}
    expected = {**({"proposal_id": proposal_id} if proposal_id is not None else {}), **fields}
    assert frame == {**expected, **own}, "the log's own keys win over those of the publisher"
    assert (event.project_id, event.seq, event.id) == ("p1", 7, "e0e0-7")
    assert (event.type, event.proposal_id, event.audience) == ("build.done", proposal_id, audience)
    assert b"\n" not in event.payload, "an event stream carries a frame on one line"
    assert b"\r" not in event.payload


@given(st.integers(1, 30), st.integers(1, 1000), st.data())
def test_a_pack_gives_out_any_part_of_itself(count: int, first: int, data: st.DataObject) -> None:
    last = first + count - 1
    pack = EventPack("p1", EPOCH, first, last, [pack_item(draft(n=n)) for n in range(count)])
    after = data.draw(st.integers(0, last + 3))
    upto = data.draw(st.none() | st.integers(0, last + 3))
    wanted = [seq for seq in range(first, last + 1) if after < seq <= (upto or last + 3)]
    if upto == 0:
        wanted = []
    events = pack.events(after=after, upto=upto)
    assert [event.seq for event in events] == wanted
    assert [event.frame()["n"] for event in events] == [seq - first for seq in wanted]


def test_an_event_without_a_time_gets_that_of_its_publication() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    frame = json.loads(EventDraft("p1", "build.done").body())
    assert before <= datetime.fromisoformat(frame["ts"]) <= datetime.now(UTC)


def test_half_a_character_is_refused_before_it_gets_anywhere() -> None:
    with pytest.raises(UnicodeError):
        draft(text="\ud800").body()


def test_a_stored_event_says_what_it_is() -> None:
    assert repr(stored(draft())[0]) == "StoredEvent('p1', e0e0-1, 'test.event')"
