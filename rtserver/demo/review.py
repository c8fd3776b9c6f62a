"""What the demo's people said and did about one of its proposals before you came: data alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

REVIEWED_PROPOSAL_ID = "add-hold-queue"


@dataclass(frozen=True, slots=True)
class Said:
    """A comment.

    Attributes:
        quote: the words of the newest text that it is about; empty: about none.
        path, heading: where these stand.
        answers: the comment of this number in the story, from 0, is answered.
    """

    by: str
    text: str
    quote: str = ""
    path: str = "proposal.md"
    heading: str | None = None
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """A reviewer's approval of the newest text."""

    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A new revision: in each file words are put in the place of others."""

    by: str
    note: str
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)


STORY: tuple[Said | Approved | Rewritten, ...] = (
    Said(
        "cleo",
        "Why **seven** days? The branch on the hill is open on two days a week, @ada.",
        quote="kept for the first in the queue for seven days",
        heading="What Changes",
    ),
    Said(
        "ada",
        "Those two days are never more than five apart. `design.md` has the rest.",
        answers=0,
    ),
    Said(
        "ben",
        "Where does this number come from?",
        quote="Popular new books are reserved up to sixty times",
        heading="Why",
    ),
    Approved("ben", "Fair, and *easy to explain* at the counter."),
    Rewritten(
        "ada",
        "without the number, which nobody can find again",
        {
            "proposal.md": (
                "Popular new books are reserved up to sixty times, and the counter hears about it\n"
                "every day.",
                "The counter hears about it every day.",
            )
        },
    ),
    Said(
        "cleo",
        "What if somebody pauses a reservation for the *second* time?",
        quote="A patron SHALL be able to pause a reservation for up to 60 days",
        path="specs/holds/spec.md",
        heading="Requirement: Pause a reservation",
    ),
    Rewritten(
        "ada",
        "a reservation can be left and paused now",
        {"tasks.md": ("- [ ] 1.3 Let", "- [x] 1.3 Let")},
    ),
)
"""It leaves an approval stale, one thread without its place, and two with it."""
