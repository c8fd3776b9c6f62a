"""Who is there, as a client makes it out from `presence` frames."""

from typing import Any

Frame = dict[str, Any]


class People:
    """A client's list. Each frame has to fit to what is known.

    Attributes:
        known: by user id.
        count: how many there are, listed or not.
        frames: those that were taken in.
    """

    def __init__(self) -> None:
        self.known: dict[str, Frame] = {}
        self.count = 0
        self.frames: list[Frame] = []

    @property
    def names(self) -> list[str]:
        """The ids of those who are listed, sorted."""
        return sorted(self.known)

    def take(self, frame: Frame) -> None:
        """Take in a frame.

        Raises:
            AssertionError: it says what was known, or is about people who were not.
        """
        self.frames.append(frame)
        self.count = frame["count"]
        if "present" in frame:
            self.known = {person["user_id"]: person for person in frame["present"]}
        for person in frame.get("joined", ()):
            if person["user_id"] in self.known:
                raise AssertionError(f"{person} joined, and was there: {self.names}")
            self.known[person["user_id"]] = person
        for person in frame.get("moved", ()):
            if self.known[person["user_id"]] == person:
                raise AssertionError(f"{person} moved, and did not")
            self.known[person["user_id"]] = person
        for user_id in frame.get("left", ()):
            del self.known[user_id]
