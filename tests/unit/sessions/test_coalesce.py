"""Joining what a late viewer has missed of a reply."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtserver.model.audience import viewers_of
from rtserver.model.events import StoredEvent
from rtserver.sessions.coalesce import TokenBacklog
from tests.support.fakes import draft, stored


def token(run_id: str, n: int, content: str, **fields: str) -> Any:
    made = draft("p1", "token", run_id=run_id, n=n, content=content, **fields)
    made.proposal_id = f"c-{run_id}"
    made.audience = viewers_of(made.proposal_id)
    return made


def joined(events: list[StoredEvent], *sizes: int, max_bytes: int = 1 << 20) -> list[StoredEvent]:
    backlog = TokenBacklog(max_bytes)
    out: list[StoredEvent] = []
    at = 0
    for size in sizes:
        out += backlog.add(events[at : at + size])
        at += size
    return out + backlog.add(events[at:]) + backlog.flush()


def test_pieces_become_one_frame() -> None:
    events = stored(*[token("r1", n, f"w{n} ") for n in range(1, 10_001)])
    (one,) = joined(events)
    assert one.frame() == {
        "id": events[-1].id,
        "type": "token",
        "project_id": "p1",
        "proposal_id": "c-r1",
        "run_id": "r1",
        "content": "".join(f"w{n} " for n in range(1, 10_001)),
        "n": 10_000,
        "first_n": 1,
        "ts": events[-1].frame()["ts"],
    }
    assert (one.seq, one.audience, one.proposal_id) == (10_000, events[0].audience, "c-r1")


def test_a_single_piece_stays_as_it_is() -> None:
    events = stored(token("r1", 1, "a"), draft(type_="iteration_complete", run_id="r1"))
    assert joined(events) == events


def test_other_events_keep_their_place() -> None:
    events = stored(
        draft(type_="iteration_start", run_id="r1"),
        token("r1", 1, "a"),
        token("r1", 2, "b"),
        draft(type_="status_changed"),
        token("r1", 3, "c"),
        token("r2", 1, "x"),
        token("r2", 2, "y"),
        draft(type_="iteration_complete", run_id="r2"),
    )
    frames = [event.frame() for event in joined(events)]
    assert [frame.get("content", frame["type"]) for frame in frames] == [
        "iteration_start",
        "ab",
        "status_changed",
        "c",
        "xy",
        "iteration_complete",
    ]


def test_a_missing_piece_stays_visible() -> None:
    events = stored(token("r1", 1, "a"), token("r1", 2, "b"), token("r1", 4, "d"))
    assert [event.frame()["content"] for event in joined(events)] == ["ab", "d"]


def test_thoughts_are_joined_with_thoughts_alone() -> None:
    events = stored(
        token("r1", 1, "", reasoning="a"),
        token("r1", 2, "", reasoning="b"),
        token("r1", 3, "c"),
        token("r1", 4, "d"),
        token("r1", 5, "", reasoning="e"),
    )
    frames = [event.frame() for event in joined(events)]
    assert [(f["content"], f.get("reasoning"), f.get("first_n"), f["n"]) for f in frames] == [
        ("", "ab", 1, 2),
        ("cd", None, 3, 4),
        ("", "e", None, 5),
    ]


def test_frames_are_bounded() -> None:
    events = stored(*[token("r1", n, "\x01" * 100) for n in range(1, 101)])  # 6 bytes each in JSON
    frames = joined(events, max_bytes=5_000)
    assert all(len(frame.payload) < 5_500 for frame in frames)
    assert len(frames) == 13
    assert "".join(frame.frame()["content"] for frame in frames) == "\x01" * 10_000


SOME = st.lists(
    st.tuples(st.sampled_from(["r1", "r2", "other"]), st.text(max_size=5)), min_size=1, max_size=40
)


@given(SOME, st.lists(st.integers(0, 10), max_size=5), st.integers(10, 60), st.data())
def test_nothing_is_lost_or_doubled_wherever_one_resumes(
    some: list[tuple[str, str]], sizes: list[int], max_bytes: int, data: st.DataObject
) -> None:
    numbers = {"r1": 0, "r2": 0}
    drafts = []
    for run_id, text in some:
        if run_id == "other":
            drafts.append(draft(type_="test.event", text=text))
        else:
            numbers[run_id] += 1
            drafts.append(token(run_id, numbers[run_id], text))
    events = stored(*drafts)
    out = joined(events, *sizes, max_bytes=max_bytes)
    # A client that is cut off after any frame, and comes back with that frame's id.
    kept = data.draw(st.integers(0, len(out)))
    seq = out[kept - 1].seq if kept else 0
    again = joined(events[seq:], max_bytes=max_bytes)
    frames = [event.frame() for event in out[:kept] + again]
    for run_id in numbers:
        mine = [frame for frame in frames if frame.get("run_id") == run_id]
        assert "".join(f["content"] for f in mine) == "".join(t for r, t in some if r == run_id)
        last = 0
        for frame in mine:
            assert frame.get("first_n", frame["n"]) == last + 1
            last = frame["n"]
    assert [f["text"] for f in frames if "text" in f] == [t for r, t in some if r == "other"]
    ids = [int(frame["id"].rpartition("-")[2]) for frame in frames]
    assert ids == sorted(set(ids))
    assert ids[-1] == len(events)
