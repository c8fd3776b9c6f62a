from rtserver.audit.verify.findings import FindingKind
from rtserver.audit.verify.ranges import ReadRanges
from rtserver.model.positions import Position


class Reading:
    """What is read, place by place.

    Attributes:
        found: traces of tampering, as their kinds and words.
        notes: what is worth a word, and no trace.
    """

    def __init__(self) -> None:
        self.found: list[tuple[FindingKind, str]] = []
        self.notes: list[str] = []
        self.ranges = ReadRanges(
            lambda kind, _where, words: self.found.append((kind, words)), self.notes.append
        )

    def read(self, source: str, *seqs: int, epoch: str = "e0") -> list[bool]:
        """Read these places of a source; for each whether nothing was read there before."""
        self.ranges.begin(source)
        return [self.ranges.take(Position(epoch, seq), f"{source}:{seq}") for seq in seqs]


def test_places_that_follow_each_other_are_one_range() -> None:
    reading = Reading()
    assert reading.read("archive", 1, 2, 3) == [True] * 3
    assert reading.ranges.ranges() == [("e0-1", "e0-3")]
    assert reading.ranges.are_complete()
    assert (reading.found, reading.notes) == ([], [])


def test_a_hole_in_the_middle_of_a_source_is_a_trace() -> None:
    reading = Reading()
    reading.read("log", 1, 2, 5)
    assert reading.found == [(FindingKind.REMOVED, "log lacks e0-3 to e0-4 in the middle")]
    assert not reading.ranges.are_complete()
    assert reading.ranges.are_joined_since(0), "the hole is told already"


def test_a_hole_between_two_sources_is_worth_a_word() -> None:
    reading = Reading()
    reading.read("archive", 1, 2)
    reading.read("log", 5, 6)
    assert reading.found == []
    assert reading.notes == ["nothing that was read has e0-3 to e0-4"]
    assert not reading.ranges.are_joined_since(0)


def test_what_another_source_had_is_not_new_and_may_fill_a_hole() -> None:
    reading = Reading()
    reading.read("archive", 1, 2, 3, 4)
    assert reading.read("log", 3, 4, 5) == [False, False, True]
    assert reading.ranges.ranges() == [("e0-1", "e0-5")]
    assert reading.found == []


def test_places_out_of_order_are_a_trace() -> None:
    reading = Reading()
    reading.read("log", 1, 3, 2)
    assert [kind for kind, _ in reading.found] == [FindingKind.REMOVED, FindingKind.INSERTED]


def test_a_log_that_was_made_anew_goes_on() -> None:
    reading = Reading()
    reading.read("archive", 1, 2)
    reading.read("log", 3, 4, epoch="e1")
    assert reading.found == []
    assert reading.notes == ["the log was made anew between epochs e0 and e1"]
    assert reading.ranges.cover(Position("e2", 4)), "of an epoch that nobody read, by number"
    assert not reading.ranges.cover(Position("e2", 4), exactly=True)


def test_a_source_goes_on_where_it_was() -> None:
    reading = Reading()
    reading.read("archive", 1, 2)
    reading.read("log", 3)
    reading.read("archive", 3, 4)
    assert reading.found == []
    assert reading.ranges.reached("log") == Position("e0", 3)
    assert reading.ranges.reached("archive") == Position("e0", 4)
    assert reading.ranges.reached("another") is None


def test_what_a_source_says_that_it_lacks_is_no_hole_of_it() -> None:
    reading = Reading()
    reading.read("archive", 1, 2)
    reading.ranges.skip(Position("e0", 9))
    assert reading.ranges.take(Position("e0", 10), "archive:10")
    reading.ranges.stretch(Position("e0", 12))
    assert reading.ranges.ranges() == [("e0-1", "e0-2"), ("e0-10", "e0-12")]
    assert reading.found == []
    assert reading.ranges.end_before(Position("e0", 13))
    assert not reading.ranges.end_before(Position("e0", 12))
