"""Promises about what can be read, and who is there. See `tests.chaos.checker` for their words."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.chaos.history import Call, Frame, ProjectLog, Story
from tests.chaos.log_checks import ids_of
from tests.support.people import People
from tests.support.sockets import seq_of

LOST_WITH_A_WORKER_S = 1.0


def moves(story: Story) -> Iterator[str]:
    for log in story.logs.values():
        known: dict[str, tuple[str, int]] = {}
        for event in log.of("proposal_created", "proposal_updated", "status_changed"):
            if event["type"] == "proposal_created":
                known[event["proposal"]["id"]] = _now(event["proposal"])
                continue
            proposal_id = event["proposal_id"]
            status, version = known.get(proposal_id, ("", 0))
            if event["type"] == "proposal_updated":
                status, found = event["proposal"]["status"], event["proposal"]["version"]
            else:
                if event["from"] != status:
                    yield f"{event['id']}: {proposal_id} moves from {event['from']}, at {status}"
                status, found = event["to"], event["version"]
            if found != version + 1:
                yield f"{event['id']}: {proposal_id} has version {found} after {version}"
            known[proposal_id] = status, found


def _now(proposal: Frame) -> tuple[str, int]:
    return proposal["status"], proposal["version"]


def _versions(log: ProjectLog) -> dict[str, list[tuple[str, int]]]:
    """Each status and version that the events tell of a proposal, in order."""
    told: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for event in log.of("proposal_created", "proposal_updated", "status_changed"):
        if event["type"] == "status_changed":
            told[event["proposal_id"]].append((event["to"], event["version"]))
        else:
            told[event["proposal"]["id"]].append(_now(event["proposal"]))
    return told


def state(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        found = story.states.get(project_id)
        if found is None:
            yield f"{project_id}: its state could not be read"
            continue
        told = _versions(log)
        read = {one["id"]: _now(one) for one in found["snapshot"]["proposals"]}
        if read != {proposal_id: versions[-1] for proposal_id, versions in told.items()}:
            yield f"{project_id}: proposals are {read}, and told are {told}"
        lock = next((e for e in reversed(list(log.of("lock_changed")))), None)
        holder = None if lock is None or not lock["locked"] else lock["by"]
        if (found["snapshot"]["lock"] or {}).get("by") != holder:
            yield f"{project_id}: the lock is {found['snapshot']['lock']}, told is {holder}"
        yield from _comments(story, log, found["comments"], project_id)
        for call in story.done("status"):
            if call.sent["project_id"] == project_id and call.answer is not None:
                body = call.answer["body"]
                if _now(body) not in told.get(body["id"], []):
                    yield f"{body['id']} was answered to be {_now(body)}, of which nothing is told"


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
        case "validate":
            return "validate", body["run_id"]
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
