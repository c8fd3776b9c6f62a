"""Promises about the log and what was published. See `tests.chaos.checker` for their words."""

import json
from collections.abc import Iterator
from typing import Any

from tests.chaos.history import Call, Frame, Story
from tests.support.sockets import seq_of


def published(call: Call) -> list[tuple[str, Any]]:
    """Type and data of each event that a call publishes."""
    body = call.sent["body"]
    return [(one["type"], one.get("data")) for one in body.get("events", [body])]


def ids_of(call: Call) -> list[str]:
    """The ids that a publication was answered with."""
    answer = call.answer["body"] if call.answer is not None and call.is_done else {}
    return list(answer.get("ids") or [])


def words_of(event: Frame) -> str:
    """Type and data of a published event, to find it by."""
    return json.dumps([event["type"], event.get("data")], sort_keys=True)


def dense(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        numbers = [seq_of(event["id"]) for event in log.events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{project_id}: the log does not count: {_first_wrong(numbers)}"
        if len({event["id"].rpartition("-")[0] for event in log.events}) > 1:
            yield f"{project_id}: the log has more than one epoch"


def _first_wrong(numbers: list[int]) -> str:
    expected = next((n for n, found in enumerate(numbers, start=1) if n != found), 0)
    return f"where {expected} should be there is {numbers[expected - 1]}" if expected else "?"


def kept(story: Story) -> Iterator[str]:
    for call in story.done("publish"):
        log = story.log(call.sent["project_id"])
        for event_id, (type_, data) in zip(ids_of(call), published(call), strict=False):
            event = log.by_id.get(event_id)
            if event is None:
                yield f"{event_id} was acknowledged to call {call.sent['call']} and is not there"
            elif (event["type"], event.get("data")) != (type_, data):
                yield f"{event_id} is not what call {call.sent['call']} sent"


def once(story: Story) -> Iterator[str]:
    for key, attempts in story.by_key().items():
        answers = {tuple(ids_of(call)) for call in attempts if call.is_done}
        if len(answers) > 1:
            yield f"attempts under the key {key} were answered with {sorted(answers)}"
    for project_id, log in story.logs.items():
        seen: dict[str, str] = {}
        for event in log.events:
            if "." in event["type"]:
                words = words_of(event)
                if words in seen:
                    yield f"{project_id}: {event['id']} is {seen[words]} once more"
                seen[words] = event["id"]


def whole(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        places = {words_of(event): place for place, event in enumerate(log.events)}
        for key, attempts in story.by_key().items():
            if attempts[0].sent["project_id"] != project_id:
                continue
            wanted = [
                json.dumps([type_, data], sort_keys=True) for type_, data in published(attempts[0])
            ]
            found = [places[words] for words in wanted if words in places]
            if found and found != list(range(found[0], found[0] + len(wanted))):
                yield f"{project_id}: of {len(wanted)} published under {key} stand at {found}"


def true(story: Story) -> Iterator[str]:
    may_be: dict[str, set[str]] = {}
    refused: set[str] = set()
    for attempts in story.by_key().values():
        words = {json.dumps([*one], sort_keys=True) for one in published(attempts[0])}
        if all(call.is_refused for call in attempts):
            refused |= words
        else:
            may_be.setdefault(attempts[0].sent["project_id"], set()).update(words)
    said = {
        (call.sent["body"]["proposal_id"], call.sent["user"], call.sent["body"]["text"])
        for call in story.calls.values()
        if call.sent["act"] == "comment" and not call.is_refused
    }
    for project_id, log in story.logs.items():
        for event in log.events:
            if "." in event["type"]:
                words_here = words_of(event)
                if words_here in refused:
                    yield f"{event['id']} was refused"
                elif words_here not in may_be.get(project_id, ()):
                    yield f"{event['id']} was sent by nobody: {words_here[:200]}"
            elif event["type"] == "comment_created":
                comment = event["comment"]
                if (comment["proposal_id"], comment["author"], comment["text"]) not in said:
                    yield f"{event['id']} is a comment that nobody made, or that was refused"


def ordered(story: Story) -> Iterator[str]:
    for project_id in story.logs:
        moments: list[tuple[float, bool, int]] = []
        for attempts in story.by_key().values():
            done = next((call for call in attempts if ids_of(call)), None)
            if done is None or done.answer is None or done.sent["project_id"] != project_id:
                continue
            # An attempt whose answer was lost may be the one that put it there.
            moments.append((attempts[0].sent["t"], True, seq_of(ids_of(done)[0])))
            moments.append((done.answer["t"], False, seq_of(ids_of(done)[-1])))
        newest = 0
        for _t, is_sent, seq in sorted(moments):
            if is_sent and seq < newest:
                yield f"{project_id}: {seq} was sent when {newest} had been answered"
            elif not is_sent:
                newest = max(newest, seq)


def answered(story: Story) -> Iterator[str]:
    for call in story.calls.values():
        what = f"call {call.sent['call']} ({call.sent['act']})"
        if call.status and call.status not in ANSWERS:
            yield f"{what} was answered with {call.status}"
        elif call.is_done and call.sent["act"] == "publish":
            if len(ids_of(call)) != len(published(call)):
                yield f"{what} was answered with {len(ids_of(call))} ids"
        elif call.is_done and call.sent["act"] in NAMES and call.answer is not None:
            name = NAMES[call.sent["act"]]
            if name not in (call.answer["body"] or {}):
                yield f"{what} was answered without {name}"


ANSWERS = {200, 201, 202, 204, 400, 403, 404, 409, 412, 413, 422, 429, 503}
NAMES = {
    "comment": "id",
    "status": "version",
    "lock": "at",
    "validate": "run_id",
    "iterate": "run_id",
    "revise": "number",
    "review": "digest",
}
