"""Promises about what can be read, and who is there. See `tests.chaos.checker` for their words."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.chaos.history import Call, Frame, ProjectLog, Story
from tests.chaos.log_checks import ids_of
from tests.support.people import People
from tests.support.sockets import seq_of

LOST_WITH_A_WORKER_S = 1.0


@dataclass(frozen=True)
class Step:
    """What the events tell of a proposal after a change.

    Attributes:
        event: the first one of the change.
        moved_from: the status that it says it was before; None where it says nothing.
    """

    event: Frame
    status: str
    version: int
    moved_from: str | None = None

    def is_of(self, proposal: Frame) -> bool:
        return (proposal["status"], proposal["version"]) == (self.status, self.version)


def _steps(log: ProjectLog) -> dict[str, list[Step]]:
    """The changes of each proposal, in order.

    One that changes the status and something else, as a new text of what was approved, is told by
    two events of one version.
    """
    told: dict[str, list[Step]] = defaultdict(list)
    for event in log.of("proposal_created", "proposal_updated", "status_changed"):
        if event["type"] != "status_changed":
            now = event["proposal"]
            told[now["id"]].append(Step(event, now["status"], now["version"]))
            continue
        steps = told[event["proposal_id"]]
        step = Step(event, event["to"], event["version"], event["from"])
        last = steps[-1] if steps else step
        is_one = last.event["type"] == "proposal_updated" and last.moved_from is None
        if is_one and (last.status, last.version) == (step.status, step.version):
            steps[-1] = replace(last, moved_from=event["from"])
        else:
            steps.append(step)
    return told


def moves(story: Story) -> Iterator[str]:
    for log in story.logs.values():
        for proposal_id, steps in _steps(log).items():
            for last, step in pairwise(steps):
                what = f"{step.event['id']}: {proposal_id}"
                if (step.moved_from or step.status) != last.status:
                    yield f"{what} moves from {step.moved_from or step.status}, at {last.status}"
                if step.version != last.version + 1:
                    yield f"{what} has version {step.version} after {last.version}"


def state(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        found = story.states.get(project_id)
        if found is None:
            yield f"{project_id}: its state could not be read"
            continue
        told = _steps(log)
        read = {one["id"]: one for one in found["snapshot"]["proposals"]}
        if read.keys() != told.keys():
            yield f"{project_id}: proposals are {[*read]}, and told are {[*told]}"
        for proposal_id, steps in told.items():
            if proposal_id in read and not steps[-1].is_of(read[proposal_id]):
                now = {name: read[proposal_id][name] for name in ("status", "version")}
                yield f"{proposal_id} is {now}, and told is {steps[-1]}"
        lock = next((e for e in reversed(list(log.of("lock_changed")))), None)
        holder = None if lock is None or not lock["locked"] else lock["by"]
        if (found["snapshot"]["lock"] or {}).get("by") != holder:
            yield f"{project_id}: the lock is {found['snapshot']['lock']}, told is {holder}"
        yield from _comments(story, log, found["comments"], project_id)
        for call in story.done("status"):
            if call.sent["project_id"] == project_id and call.answer is not None:
                body = call.answer["body"]
                if not any(step.is_of(body) for step in told.get(body["id"], [])):
                    answered = f"was answered to be {body['status']} at {body['version']}"
                    yield f"{body['id']} {answered}, of which nothing is told"


def _comments(
    story: Story, log: ProjectLog, read: dict[str, list[Frame]], project_id: str
) -> Iterator[str]:
    told: dict[str, list[str]] = defaultdict(list)
    texts: Counter[str] = Counter()
    for event in log.of("comment_created"):
        told[event["comment"]["proposal_id"]].append(event["comment"]["id"])
        texts[event["comment"]["text"]] += 1
    for proposal_id, comments in read.items():
        if [one["id"] for one in comments] != told.get(proposal_id, []):
            yield f"{proposal_id}: comments and what is told of them differ"
    for text, times in texts.items():
        if times > 1:
            yield f"{project_id}: the comment {text!r} is told {times} times"
    all_told = {comment_id for ids in told.values() for comment_id in ids}
    for call in story.done("comment"):
        assert call.answer is not None
        made = call.answer["body"]["id"]
        if call.sent["project_id"] == project_id and made not in all_told:
            yield f"comment {made} was acknowledged, and is not told"


def locked(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        holder: str | None = None
        held = set()
        for event in log.of("lock_changed"):
            if event["locked"] and holder not in (None, event["by"]):
                yield f"{event['id']}: {event['by']} takes the lock of {holder}"
            elif not event["locked"] and event["by"] != holder:
                yield f"{event['id']}: the lock of {event['by']} ends, held by {holder}"
            holder = event["by"] if event["locked"] else None
            if event["locked"]:
                held.add((event["by"], event["at"]))
        for call in story.done("lock"):
            if call.sent["project_id"] == project_id and call.answer is not None:
                body = call.answer["body"]
                if (call.sent["user"], body["at"]) not in held:
                    yield f"{call.sent['user']} was answered to hold the lock since {body['at']}"


def limits(story: Story) -> Iterator[str]:
    for listing in story.listings:
        users = Counter(one["user_id"] for one in listing["connections"])
        if users.total() > story.setup["project_limit"]:
            yield f"{listing['project_id']} lists {users.total()} connections"
        for user, count in users.items():
            if listing["at_rest"] and count > story.setup["user_limit"]:
                yield f"{user} has {count} connections when all is healed"


def places(story: Story) -> Iterator[str]:
    for project_id, listing in _at_rest(story).items():
        listed = {one["id"] for one in listing["connections"]}
        there = {
            one.welcome["connection_id"]
            for one in story.connections.values()
            if one.lasts_at_rest and one.welcome and one.opened["project_id"] == project_id
        }
        if listed != there:
            yield f"{project_id}: listed and not there {sorted(listed - there)}"
            yield f"{project_id}: there and not listed {sorted(there - listed)}"


def _at_rest(story: Story) -> dict[str, Frame]:
    return {one["project_id"]: one for one in story.listings if one["at_rest"]}


def presence(story: Story) -> Iterator[str]:
    listings = _at_rest(story)
    for one in story.connections.values():
        listing = listings.get(one.opened["project_id"])
        if not one.lasts_at_rest or listing is None:
            continue
        people = People()
        try:
            for frame in one.frames[: one.frames_at_rest]:
                if frame["type"] == "presence":
                    people.take(frame)
        except (AssertionError, KeyError) as error:
            yield f"{one.name} was told what does not fit to what it knew: {error}"
            continue
        there = sorted({each["user_id"] for each in listing["connections"]})
        if people.names != there:
            yield f"{one.name} knows of {people.names}, and there are {there}"


def recorded(story: Story) -> Iterator[str]:
    if story.audit is None:
        yield "the audit log could not be read"
        return
    found = set(filter(None, map(_act_of, story.audit["records"])))
    kills = [(one["on"], one["t"]) for one in story.faults if one["name"] == "kill_worker"]
    in_doubt = {_asked(call) for call in story.calls.values() if call.status in (0, 503)}
    for call in story.calls.values():
        act = _act_of_call(call)
        if act is None or act in found or call.answer is None:
            continue
        if call.sent["act"] == "status" and _asked(call) in in_doubt:
            continue  # it may have changed nothing, where the one before had done it
        lost = any(
            worker == call.sent["worker"] and 0 <= t - call.answer["t"] <= LOST_WITH_A_WORKER_S
            for worker, t in kills
        )
        if not lost:
            yield f"call {call.sent['call']} was acknowledged, and {act} is not recorded"


def _asked(call: Call) -> tuple[Any, ...]:
    body = call.sent["body"]
    return call.sent["act"], body.get("proposal_id"), body.get("status")


def _act_of(record: Frame) -> tuple[Any, ...] | None:
    details = record.get("details") or {}
    match record["action"], record["outcome"]:
        case "event.published", "allowed":
            return "publish", details.get("first")
        case "comment.created", "allowed":
            return "comment", details.get("comment_id")
        case "proposal.status_changed", "allowed":
            return "status", record["target"], details.get("version")
        case "validation.started", "allowed":
            return "validate", details.get("run_id")
        case "iteration.started", "allowed":
            return "iterate", details.get("run_id")
        case "revision.created", "allowed":
            return "revise", record["target"], details.get("revision")
        case "review.submitted", "allowed":
            return "review", record["target"], record["actor"], details.get("revision")
    return None


def _act_of_call(call: Call) -> tuple[Any, ...] | None:
    """What is recorded of a call, by which it is found."""
    if call.answer is None or not call.is_done:
        return None
    body = call.answer["body"]
    match call.sent["act"]:
        case "publish":
            return "publish", ids_of(call)[0]
        case "comment":
            return "comment", body["id"]
        case "validate" | "iterate" as act:
            return act, body["run_id"]
        case "revise":
            return "revise", body["proposal_id"], body["number"]
        case "review":
            return "review", call.sent["body"]["proposal_id"], body["reviewer"], body["revision"]
        case "status":
            return "status", body["id"], body["version"]
    return None


def unbroken(story: Story) -> Iterator[str]:
    if story.audit is None:
        return
    numbers = [seq_of(record["id"]) for record in story.audit["records"]]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "the audit log's numbers have holes, or stand twice"
    yield from story.audit["findings"]
