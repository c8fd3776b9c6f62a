"""Promises about what clients receive. See `tests.chaos.checker` for their words."""

from collections.abc import Iterator
from functools import cache

from rtserver.model.close_codes import CloseCode
from tests.chaos.history import Connection, Frame, ProjectLog, Story
from tests.support.sockets import is_event, seq_of

CODES = {int(code) for code in CloseCode}
FOR_VIEWERS = (
    *("status_changed", "run_queued", "output", "token"),
    *(f"{kind}_{what}" for kind in ("validation", "iteration") for what in ("start", "complete")),
    *(f"{kind}_{what}" for kind in ("validation", "iteration") for what in ("error", "cancelled")),
)
"""Types of events that concern who views the proposal."""
FOR_MEMBERS_TOO = ("revision_created", "review_submitted")


@cache
def _audiences() -> dict[str, str]:
    return {
        **dict.fromkeys(FOR_VIEWERS, "proposal"),
        **dict.fromkeys(FOR_MEMBERS_TOO, "proposal"),
        "comment_created": "members",
    }


def may_see(event: Frame, one: Connection, log: ProjectLog) -> bool:
    """Whether an event is for who has this connection open."""
    proposal_id, view = event.get("proposal_id"), one.opened["view"]
    audience = _audiences().get(event["type"], "project")
    if "." in event["type"] and proposal_id is not None:
        audience = "proposal"
    if audience == "members":
        return one.opened["user"] in log.members.get(event["comment"]["proposal_id"], ())
    if event["type"] in FOR_MEMBERS_TOO and one.opened["user"] in log.members[str(proposal_id)]:
        return True
    return audience == "project" or not view or proposal_id in view


def shown(one: Connection, log: ProjectLog) -> Iterator[Frame]:
    """A connection's frames; of pieces of a reply that came joined, those that were joined.

    Where the text is not theirs, the frame is left as it is: nothing in the log is like it.
    """
    for frame in one.frames:
        if frame["type"] != "token" or "first_n" not in frame:
            yield frame
            continue
        pieces = [
            piece
            for piece in log.tokens.get(frame["run_id"], ())
            if frame["first_n"] <= piece["n"] <= frame["n"]
        ]
        text = "".join(piece["content"] for piece in pieces)
        if pieces and {**pieces[-1], "content": text, "first_n": pieces[0]["n"]} == frame:
            yield from pieces
        else:
            yield frame


def durable(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        log = story.log(one.opened["project_id"])
        for frame in filter(is_event, shown(one, log)):
            stored = log.by_id.get(frame["id"])
            if stored is None:
                yield f"{one.name} was shown {frame['id']}, which is not in the log"
            elif stored != frame:
                yield f"{one.name} was shown another {frame['id']} than the log has"


def start_of(one: Connection) -> int | None:
    """Behind which number a connection gets everything; None where it was not welcomed."""
    welcome = one.welcome
    if welcome is None:
        return None
    if welcome["resume"]["outcome"] in ("fresh", "lost"):
        return seq_of(welcome["position"])
    return seq_of(one.opened["asked"])


def complete(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        log = story.log(one.opened["project_id"])
        at, oldest = start_of(one), seq_of(log.events[0]["id"]) if log.events else 1
        if at is None or one.welcome is None:
            continue
        for frame in shown(one, log):
            if frame["type"] == "gap" and one.welcome["resume"]["outcome"] == "lost":
                yield from _lost(one, frame, oldest)
            elif frame["type"] == "gap":
                at = seq_of(frame["requested"]) + (frame["lost"] or 0)
                if at >= oldest:
                    yield f"{one.name} was told of a gap up to {at}, and the log begins at {oldest}"
            elif "id" in frame:
                seq = seq_of(frame["id"])
                between = range(at + 1, seq if is_event(frame) else seq + 1)
                missed = [n for n in between if _is_for(log, n, one)]
                if missed:
                    yield f"{one.name} was not sent {missed[:5]} before {frame['type']} {seq}"
                if is_event(frame) and seq <= at:
                    yield f"{one.name} was sent {seq} at {at}: twice, or out of order"
                at = max(at, seq)


def _is_for(log: ProjectLog, seq: int, one: Connection) -> bool:
    return 0 < seq <= len(log.events) and may_see(log.events[seq - 1], one, log)


def _lost(one: Connection, gap: Frame, oldest: int) -> Iterator[str]:
    asked, welcome = one.opened["asked"], one.welcome
    assert welcome is not None
    here = seq_of(welcome["position"])
    if asked.rpartition("-")[0] != welcome["position"].rpartition("-")[0]:
        return
    if seq_of(asked) + 1 >= oldest:
        yield f"{one.name} was told that what follows {asked} is lost, and it is there"
    if gap["lost"] != here - seq_of(asked):
        yield f"{one.name} was told that {gap['lost']} are lost between {asked} and {here}"


def counted(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        welcome, asked = one.welcome, one.opened["asked"]
        if welcome is None:
            continue
        resume, log = welcome["resume"], story.log(one.opened["project_id"])
        if (asked is None) != (resume["outcome"] == "fresh"):
            yield f"{one.name} asked for {asked} and was welcomed as {resume['outcome']}"
        if asked is None or resume["outcome"] == "lost":
            continue
        missed = sum(
            _is_for(log, seq, one)
            for seq in range(seq_of(asked) + 1, seq_of(welcome["position"]) + 1)
        )
        told = resume["replayed"] if resume["outcome"] == "replayed" else 0
        if told != missed:
            yield f"{one.name} missed {missed} and was told {resume['outcome']}, {told}"


def private(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        log = story.log(one.opened["project_id"])
        for frame in filter(is_event, shown(one, log)):
            if not may_see(frame, one, log) or frame["project_id"] != one.opened["project_id"]:
                yield f"{one.name} of {one.opened['user']} was shown {frame['type']} {frame['id']}"


def welcome(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        kinds = [frame["type"] for frame in one.frames]
        if kinds and kinds[0] not in ("welcome", "closing"):
            yield f"{one.name} began with {kinds[0]}"
        if kinds.count("welcome") > 1:
            yield f"{one.name} was welcomed {kinds.count('welcome')} times"
        if one.welcome is not None and one.welcome["user_id"] != one.opened["user"]:
            yield f"{one.name} was welcomed as {one.welcome['user_id']}"
        at = 0
        for frame in one.frames:
            if frame["type"] == "position":
                if seq_of(frame["id"]) < at:
                    yield f"{one.name} went back from {at} to {frame['id']}"
                at = seq_of(frame["id"])


def closing(story: Story) -> Iterator[str]:
    for one in story.connections.values():
        kinds = [frame["type"] for frame in one.frames]
        if "closing" in kinds:
            last = one.frames[kinds.index("closing")]
            if kinds.index("closing") != len(kinds) - 1:
                yield f"{one.name} was sent {kinds[-1]} after closing"
            if last["code"] not in CODES:
                yield f"{one.name} was closed with {last['code']}"
            code = None if one.closed is None else one.closed["code"]
            if code is not None and code != last["code"]:
                yield f"{one.name} was told {last['code']} and closed with {code}"
        elif one.closed is not None and (one.closed["code"] or 0) >= 4000:
            yield f"{one.name} was closed with {one.closed['code']} and not told so"


def caught_up(story: Story) -> Iterator[str]:
    if story.rest is None:
        yield "it did not come to rest"
        return
    if story.rest["unrest"]:
        yield f"it did not come to rest: {story.rest['unrest']}"
    resting = [one for one in story.connections.values() if one.lasts_at_rest]
    if not resting:
        yield "nobody was connected when all was healed"
    for one in resting:
        head = seq_of(story.rest["heads"][one.opened["project_id"]])
        at = max((seq_of(f["id"]) for f in one.frames if "id" in f), default=start_of(one) or 0)
        log = story.log(one.opened["project_id"])
        missed = [seq for seq in range(at + 1, head + 1) if _is_for(log, seq, one)]
        if missed:
            yield f"{one.name} stands at {at}, and was not sent {missed[:5]}"
