from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.eventlog.publishing import (
    MAX_BATCH,
    MAX_USERS,
    MalformedBodyError,
    PublishedEvent,
    TooLargeError,
    UsersAudience,
    audience_of,
    draft_of,
    drafts_of,
    parse_events,
)
from rtserver.model.audience import WHOLE_PROJECT, AudienceKind, only_users, viewers_of
from rtserver.model.errors import InvalidError, RefusedError


def _parse(body: object) -> list[PublishedEvent]:
    return parse_events(msgspec.json.encode(body))


def test_one_event() -> None:
    [event] = _parse({"type": "build.finished", "data": {"n": 1}, "proposal_id": "p"})
    assert (event.type, event.data, event.proposal_id) == ("build.finished", {"n": 1}, "p")


def test_batch() -> None:
    events = _parse({"events": [{"type": "a.b"}, {"type": "a.c", "data": [1]}]})
    assert [(event.type, event.data) for event in events] == [("a.b", {}), ("a.c", [1])]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "a.b", "data": {"events": [1, 2]}},
        {"type": "a.b", "data": '"events"'},
        {"data": {"events": []}, "type": "a.b"},
    ],
)
def test_event_that_speaks_of_events_is_no_batch(body: Any) -> None:
    [event] = _parse(body)
    assert event.data == body["data"]


def test_batch_whose_key_comes_late_is_a_batch() -> None:
    padding = "x" * 10_000
    assert len(_parse({"note": padding, "events": [{"type": "a.b"}] * 3})) == 3


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        {},
        {"type": 1},
        {"events": []},
        {"events": {}},
        {"events": [{"type": "a.b"}, {}]},
        {"events": [{"type": "a.b"}], "type": "a.b"},
        {"events": [{"type": "a.b"}] * (MAX_BATCH + 1)},
        {"type": "a.b", "audience": {"users": []}},
        {"type": "a.b", "audience": {"users": ["u"] * (MAX_USERS + 1)}},
        {"type": "a.b", "audience": {"people": ["u"]}},
        {"type": "a.b", "audience": 7},
    ],
)
def test_what_does_not_fit(body: object) -> None:
    with pytest.raises(InvalidError) as refused:
        _parse(body)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"type": "a.b"', b"\xff", b'{"type":"a.b","data":' + b"[" * 100_000]
)
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(MalformedBodyError) as refused:
        parse_events(text)
    assert refused.value.status == 400


@pytest.mark.parametrize("data", [r'"\ud83d"', r'{"\ude00 is no key": 1}', r'["\ude00\ud83d"]'])
def test_half_of_a_surrogate_pair_is_refused_rather_than_changed(data: str) -> None:
    """RFC 7493 section 2.1. Some clients could not read the log any more with it in there."""
    with pytest.raises(MalformedBodyError, match="half of a surrogate pair"):
        parse_events(f'{{"type":"a.b","data":{data}}}'.encode())


@pytest.mark.parametrize(
    "type_",
    [
        "welcome",
        "output",
        "status_changed",
        "closing",
        "control",
        "a",
        "",
        "A.b",
        "a.b\n",
        ".a",
        "a.*",
    ],
)
def test_types_of_the_server_and_of_sessions_are_refused(type_: str) -> None:
    with pytest.raises(InvalidError, match="event type"):
        draft_of(PublishedEvent(type_), "p1", "svc", max_data_bytes=1000)


def test_data_cannot_pass_for_what_is_the_log_s() -> None:
    forged = {"id": "x-1", "type": "welcome", "project_id": "other", "ts": "never", "actor": "ada"}
    draft = draft_of(PublishedEvent("a.b", forged), "p1", "svc", max_data_bytes=1000)
    frame = msgspec.json.decode(draft.body())
    assert (frame["type"], frame["project_id"], frame["actor"]) == ("a.b", "p1", "svc")
    assert frame["data"] == forged
    assert "id" not in frame


def test_data_has_a_bound() -> None:
    draft_of(PublishedEvent("a.b", "x" * 98), "p1", "svc", max_data_bytes=100)
    with pytest.raises(TooLargeError) as refused:
        draft_of(PublishedEvent("a.b", "x" * 99), "p1", "svc", max_data_bytes=100)
    assert refused.value.status == 413


def test_audiences() -> None:
    assert audience_of(None, None) == audience_of("project", "p") == WHOLE_PROJECT
    assert audience_of(None, "p") == audience_of("proposal", "p") == viewers_of("p")
    assert audience_of(UsersAudience(["u", "v", "u"]), "p") == only_users(frozenset("uv"))


@pytest.mark.parametrize("wanted", ["proposal", "workers", "members", "users", "", "Project"])
def test_audiences_that_nobody_may_ask_for(wanted: str) -> None:
    with pytest.raises(InvalidError, match="audience"):
        audience_of(wanted, None)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
        max_leaves=20,
    )
)
def test_data_arrives_as_it_was_sent(data: object) -> None:
    [event] = _parse({"type": "a.b", "data": data})
    body = draft_of(event, "p1", "svc", max_data_bytes=10**6).body()
    assert msgspec.json.decode(body)["data"] == data
    assert "\n" not in body
    assert draft_of(event, "p1", "svc", max_data_bytes=10**6).audience.kind is AudienceKind.PROJECT


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "welcome"}, "events[1]: event type 'welcome' has no dot"),
        ({"type": "a.b", "audience": "proposal"}, "events[1]: audience proposal needs"),
        ({"type": "a.b", "data": "x" * 99}, "events[1]: An event's data may have 100 bytes"),
    ],
)
def test_of_a_batch_the_event_that_is_wrong_is_named(wrong: dict[str, Any], said: str) -> None:
    events = _parse({"events": [{"type": "a.b"}, wrong]})
    with pytest.raises(RefusedError) as caught:
        drafts_of(events, "p1", "svc", max_data_bytes=100)
    assert str(caught.value).startswith(said)
    with pytest.raises(type(caught.value)) as alone:
        drafts_of(events[1:], "p1", "svc", max_data_bytes=100)
    assert "events[" not in str(alone.value)
    assert (caught.value.status, caught.value.reason) == (alone.value.status, alone.value.reason)
