"""What rtserver promises, and whether a history keeps it.

A history (`tests.chaos.history`) is what clients sent and received while workers and mongods were
killed, stopped and cut off from each other, and what could be read when all was healed. Through
every fault holds:

dense       The ids of a project are of one epoch and count 1, 2, 3, ... without a hole.
kept        What was acknowledged with an id is in the log under that id, as it was sent.
once        What was published under a key is in the log once, however often it was sent, and each
            answer names the same id.
whole       What was published together stands together and in its order, or not at all.
true        The log holds nothing that nobody sent, and nothing that was refused.
ordered     Of two publications the one that was answered before the other was sent stands first.
durable     What a client was shown is in the log under its id, with this content: nothing that
            was visible is taken back.
complete    A client gets every event that it may see from where it began to where it is, each
            once and in order, over all transports. What it asked for when it came back, and what
            it got since, join without a seam. A gap is told only of what the log has no more.
counted     A welcome says truly what became of a resume: `nothing_missed` where there was
            nothing, `replayed` with how many there were.
private     A client gets nothing that it may not see: comments go to author and reviewers, what
            concerns one proposal to those who view it.
welcome     The first frame is the one welcome; then a position never goes back.
closing     The server ends a session by a code of its list, says it in `closing`, and nothing
            follows.
caught_up   When all is healed, who is connected gets what there is to get.
ended_once  A run that was accepted begins, and has exactly one terminal event, whatever its
            worker went through. When all is healed none is under way.
fenced      Nothing of a run stands behind its terminal event, or before its beginning.
lines       A run's lines are in order and without a hole, and a verdict counts them all.
alone       A proposal has one run of a kind at a time.
run_state   What can be read of a run is how its terminal event says that it ended.
atomic      An iteration writes all of its files or none: no revision has a part of them, one that
            is complete is in a revision, and one that is not and does not say so is in none.
revisions   A proposal's revisions count 1, 2, 3, ..., each is told once, and has the digest of what
            can be read of it. The newest is what is on disk. What was sent is in the revision that
            was answered; nothing is in one that nobody wrote.
approvals   A verdict is on the text that was the newest; no approval ever stands on another text
            than the one that was approved, nor beside a request for changes.
moves       A proposal's events make one chain: each status goes on from the one before, each
            version follows the last.
state       The state that can be read is the state that the events tell: proposals, lock,
            comments. A change that was acknowledged is in it, and told once.
locked      One user at a time holds the lock; who was answered that they hold it does.
limits      No project lists more connections than its limit, and when all is healed no user does.
places      When all is healed who is connected is listed, and nobody else.
presence    When all is healed each client's list of people is of those who are connected.
webhooks    Each event that a webhook wants is sent until it is accepted: as it stands in the log,
            under one id, and for the first time in the project's order; nothing else is sent.
recorded    Acts that were acknowledged are in the audit log, but for those that a worker had
            under way in the last second before it was killed.
unbroken    The audit log's ids are dense, and its verification finds nothing.
answered    Each answer is one of the interface's: no fault of the server's own, and no 2xx that
            lacks what it is to name.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.chaos import log_checks, run_checks, state_checks, stream_checks, text_checks
from tests.chaos.history import Record, Story, story_of

MOST_OF_ONE = 5
"""So many violations of a promise are told; what goes wrong once often goes wrong everywhere."""
PROMISES: dict[str, Callable[[Story], Iterator[str]]] = {
    check.__name__: check
    for check in (
        *(log_checks.dense, log_checks.kept, log_checks.once, log_checks.whole, log_checks.true),
        *(log_checks.ordered, stream_checks.durable, stream_checks.complete),
        *(stream_checks.counted, stream_checks.private, stream_checks.welcome),
        *(stream_checks.closing, stream_checks.caught_up),
        *(run_checks.ended_once, run_checks.fenced, run_checks.lines, run_checks.alone),
        *(run_checks.run_state, text_checks.atomic, text_checks.revisions),
        *(text_checks.approvals, state_checks.moves, state_checks.state, state_checks.locked),
        *(state_checks.limits, state_checks.places, state_checks.presence, text_checks.webhooks),
        *(state_checks.recorded, state_checks.unbroken, log_checks.answered),
    )
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept.

    Attributes:
        promise: its name.
        words: what was seen.
    """

    promise: str
    words: str


def check(history: Iterable[Record]) -> list[Violation]:
    """What of a history breaks a promise."""
    story = story_of(history)
    violations = []
    for name, holds in PROMISES.items():
        found = list(holds(story))
        violations += [Violation(name, words) for words in found[:MOST_OF_ONE]]
        if len(found) > MOST_OF_ONE:
            violations.append(Violation(name, f"and {len(found) - MOST_OF_ONE} more"))
    return violations
