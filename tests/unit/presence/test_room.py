"""Who is in a project, and what its viewers have to be told of it."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rtserver.presence.messages import Person
from rtserver.presence.room import MAX_PLACES, Bounds, Room
from rtserver.sessions.server_frames import encode_frame
from tests.support.people import People
from tests.unit.presence.parts import entry

USERS = [f"u{n}" for n in range(8)]
PLACES = ["a", "b", "c"]


def json(person: Person) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(person))
    return read


def _room(**bounds: int) -> Room:
    return Room("p1", Bounds(**bounds))


def _told(room: Room) -> dict[str, Any] | None:
    frame = room.settle()
    return None if frame is None else msgspec.json.decode(encode_frame(frame))


def test_three_windows_are_one_person_who_looks_at_all_of_it() -> None:
    room = _room()
    assert room.arrive(entry("ada", "c1", at=["b"]))
    assert room.arrive(entry("ada", "c2", at=["a"]))
    assert not room.arrive(entry("ada", "c3"))
    assert _told(room) == {
        "type": "presence",
        "count": 1,
        "present": [{"user_id": "ada", "name": "Ada", "proposal_ids": ["a", "b"]}],
    }
    assert room.depart(entry("ada", "c1"), until_s=2.0)
    assert not room.depart(entry("ada", "c3"), until_s=2.0)
    assert room.here("ada") == Person("ada", "Ada", ("a",))
    assert not room.fade("ada", now_s=9.0)


def test_who_comes_back_soon_has_not_left_but_the_others_are_told_again() -> None:
    room = _room()
    room.arrive(entry("ada"))
    room.settle()
    assert not room.depart(entry("ada"), until_s=2.0)
    assert not room.is_empty()
    assert room.arrive(entry("ada", "c2"))
    assert room.settle() is None
    assert not room.fade("ada", now_s=2.0)
    room.depart(entry("ada", "c2"), until_s=5.0)
    assert not room.fade("ada", now_s=4.9)
    assert room.fade("ada", now_s=5.0)
    assert _told(room) == {"type": "presence", "count": 0, "present": []}
    assert room.is_empty()


def test_changes_are_told_by_what_kind_they_are() -> None:
    room = _room()
    for user in "abcdefgh":
        room.arrive(entry(user))
    room.settle()
    room.move(entry("b", at=["x"]))
    room.arrive(entry("z"))
    room.depart(entry("c"), until_s=1.0)
    room.fade("c", now_s=1.0)
    room.hear("w2", [Person("d", "D", ("y",)), Person("r", "R")], ["nobody"])
    assert _told(room) == {
        "type": "presence",
        "count": 9,
        "joined": [
            {"user_id": "z", "name": "Z", "proposal_ids": []},
            {"user_id": "r", "name": "R", "proposal_ids": []},
        ],
        "moved": [
            {"user_id": "b", "name": "B", "proposal_ids": ["x"]},
            {"user_id": "d", "name": "D", "proposal_ids": ["y"]},
        ],
        "left": ["c"],
    }
    assert room.settle() is None


def test_a_user_on_two_workers_leaves_when_both_have_nothing_left() -> None:
    room = _room()
    room.arrive(entry("ada", at=["a"]))
    room.hear("w2", [Person("ada", "Ada", ("b",))], [])
    assert room.present() == ([Person("ada", "Ada", ("a", "b"))], 1)
    room.depart(entry("ada"), until_s=0.0)
    room.fade("ada", now_s=0.0)
    assert room.present() == ([Person("ada", "Ada", ("b",))], 1)
    assert room.lose("w2")
    assert not room.lose("w2")
    assert room.present() == ([], 0)


def test_the_registry_replaces_what_was_heard() -> None:
    room = _room()
    room.hear("w2", [Person("ada", "Ada"), Person("ben", "Ben")], [])
    room.hear("w3", [Person("cleo", "Cleo")], [])
    room.load(
        [entry("ben", "c1", worker="w2", at=["a"]), entry("ben", "c2", worker="w2", at=["b"])]
    )
    assert room.loaded
    assert room.present() == ([Person("ben", "Ben", ("a", "b"))], 1)


def test_a_list_is_bounded_in_people_and_bytes_and_says_how_many_there_are() -> None:
    room = _room(people=3)
    for n in range(10):
        room.arrive(entry(f"u{n}"))
    told = _told(room)
    assert told is not None
    assert (told["count"], [p["user_id"] for p in told["present"]]) == (10, ["u0", "u1", "u2"])
    room.depart(entry("u7"), until_s=0.0)
    room.fade("u7", now_s=0.0)
    assert _told(room) == {"type": "presence", "count": 9}
    room.depart(entry("u1"), until_s=0.0)
    room.fade("u1", now_s=0.0)
    told = _told(room)
    assert told is not None
    # The next in line takes the place that became free.
    assert (told["left"], [person["user_id"] for person in told["joined"]]) == (["u1"], ["u3"])
    small = _room(frame_bytes=500)
    for n in range(10):
        small.arrive(entry(f"u{n}", name="\N{SNOWMAN}" * 20))
    told = _told(small)
    assert told is not None
    assert len(encode_frame(small.whole())) < 600
    assert 1 <= len(told["present"]) < 10


def test_places_are_bounded() -> None:
    room = _room()
    room.arrive(entry("ada", "c1", at=[f"x{n}" for n in range(8)]))
    room.arrive(entry("ada", "c2", at=[f"y{n}" for n in range(8)]))
    person = room.here("ada")
    assert person is not None
    assert len(person.proposal_ids) == MAX_PLACES


_steps = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "depart", "move", "fade", "hear", "gone", "lose", "settle"]),
        st.sampled_from(USERS),
        st.sampled_from(["c1", "c2"]),
        st.sampled_from(PLACES),
    ),
    max_size=60,
)


@given(_steps, st.integers(1, 6))
def test_a_viewers_list_is_the_workers_own_whatever_happens(
    steps: list[tuple[str, str, str, str]], people: int
) -> None:
    room = _room(people=people)
    watcher = People()
    open_: set[str] = set()
    for step, user, connection, place in steps:
        one = entry(user, f"{user}-{connection}", at=[place])
        match step:
            case "arrive" if one.connection_id not in open_:
                room.arrive(one)
                open_.add(one.connection_id)
            case "depart" if one.connection_id in open_:
                room.depart(one, until_s=1.0)
                open_.remove(one.connection_id)
            case "move" if one.connection_id in open_:
                room.move(one)
            case "fade":
                room.fade(user, now_s=1.0)
            case "hear":
                room.hear(connection, [Person(user, user, (place,))], [])
            case "gone":
                room.hear(connection, [], [user])
            case "lose":
                room.lose(connection)
        if step == "settle":
            expected, count = room.present()
            told = _told(room)
            if told is not None:
                watcher.take(told)
            assert watcher.known == {p.user_id: json(p) for p in expected}
            assert watcher.count == count
            assert room.present() == (expected, count)
    assert {user.rpartition("-")[0] for user in open_} <= {
        user for user in USERS if room.here(user) is not None
    }
