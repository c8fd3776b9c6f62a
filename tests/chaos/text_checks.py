"""Promises about texts, and what others are told. See `tests.chaos.checker` for their words."""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.edits import REVISED, digest_of
from tests.chaos.history import Frame, ProjectLog, Record, Story
from tests.chaos.run_checks import runs_of
from tests.support.sockets import seq_of

NOT_KNOWN = "look at the files"
"""What is said of an iteration whose worker is gone, and still holds the files."""


def _told(log: ProjectLog) -> dict[str, list[Frame]]:
    """The revisions that the events tell of, by proposal and in order."""
    told: dict[str, list[Frame]] = defaultdict(list)
    for event in log.of("revision_created"):
        told[event["proposal_id"]].append(event["revision"])
    return told


def _texts(state: Record, revision: Frame) -> dict[str, str]:
    return {file["path"]: state["contents"][file["sha256"]] for file in revision["files"]}


def _digest(texts: dict[str, str]) -> str:
    return digest_of({path: text.encode() for path, text in texts.items()})


def revisions(story: Story) -> Iterator[str]:
    for project_id, state in story.states.items():
        told = _told(story.log(project_id))
        proposals = {one["id"]: one for one in state["snapshot"]["proposals"]}
        for proposal_id, readable in state["revisions"].items():
            here = told.get(proposal_id, [])
            numbers = [one["number"] for one in here]
            if numbers != list(range(1, len(numbers) + 1)):
                yield f"{proposal_id}: the revisions that are told do not count: {numbers}"
            if here != readable:
                yield f"{proposal_id}: what is told of revisions is not what can be read"
            for one in readable:
                if _digest(_texts(state, one)) != one["digest"]:
                    yield f"{proposal_id}: revision {one['number']} has not its digest"
            newest = readable[-1]["digest"] if readable else None
            shown = proposals[proposal_id]["revision"]
            if newest != (shown and shown["digest"]):
                yield f"{proposal_id} is shown with another text than its newest revision"
            if newest is not None and newest != _digest(state["disk"][proposal_id]):
                yield f"{proposal_id}: the files are not those of the newest revision"
    yield from _sent(story)


def _sent(story: Story) -> Iterator[str]:
    """What was sent is in a revision, and nothing else is."""
    calls = [call for call in story.calls.values() if call.sent["act"] == "revise"]
    written = {record["text"] for record in story.written}
    written |= {
        text
        for call in calls
        if not call.is_refused
        for text in call.sent["body"]["files"].values()
    }
    for project_id, state in story.states.items():
        tags = set(_tags(story.log(project_id)).values())
        for text in state["contents"].values():
            if text not in written and text not in tags:
                yield f"{text!r} is in a revision, and nobody wrote it, or it was refused"
        for call in calls:
            if call.is_done and call.answer is not None:
                proposal_id, made = call.sent["body"]["proposal_id"], call.answer["body"]
                there = {one["number"]: one for one in state["revisions"].get(proposal_id, [])}
                found = there.get(made["number"])
                texts = {} if found is None else _texts(state, found)
                if not call.sent["body"]["files"].items() <= texts.items():
                    sent = f"what call {call.sent['call']} sent"
                    yield f"{proposal_id}: revision {made['number']} is not {sent}"


def _tags(log: ProjectLog) -> dict[str, str]:
    """By iteration, the text that the model gives each of its files."""
    return {
        event["run_id"]: f"# model {event['instruction'].rpartition(' ')[2]}\n"
        for event in log.of("iteration_start")
    }


def atomic(story: Story) -> Iterator[str]:
    for project_id, state in story.states.items():
        log = story.log(project_id)
        ends = {run_id: events[-1] for run_id, events in runs_of(log).items()}
        for proposal_id, readable in state["revisions"].items():
            holding: dict[str, int] = {}
            for one in readable:
                texts = _texts(state, one)
                found = {texts.get(path, "") for path in REVISED}
                if len(found) > 1:
                    yield f"{proposal_id}: revision {one['number']} has files of two iterations"
                for text in found:
                    holding.setdefault(text, one["number"])
            for run_id, text in _tags(log).items():
                end = ends[run_id]
                if end["proposal_id"] != proposal_id:
                    continue
                if end["type"] == "iteration_complete" and text not in holding:
                    yield f"run {run_id} is complete, and no revision has its files"
                wrote_nothing = end["type"] != "iteration_complete" and not _says_written(end)
                if wrote_nothing and text in holding:
                    said = f"ended in {end['type']}, and its files are in revision {holding[text]}"
                    yield f"run {run_id} {said}"


def _says_written(end: Frame) -> bool:
    """Whether an end without success says that files were written, or that this is not known."""
    return bool(end.get("files_modified")) or NOT_KNOWN in str(end.get("error"))


def approvals(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        told = _told(log)
        for proposal_id in told:
            yield from _approvals_of(log, proposal_id)
        reviews = [event["review"] for event in log.of("review_submitted")]
        for call in story.done("review"):
            made = None if call.answer is None else call.answer["body"]
            if call.sent["project_id"] == project_id and made not in reviews:
                yield f"the verdict of call {call.sent['call']} was acknowledged, and is not told"
        state = story.states.get(project_id)
        for one in () if state is None else state["snapshot"]["proposals"]:
            for review in one["reviews"]:
                digest = told[one["id"]][review["revision"] - 1]["digest"]
                if review["digest"] != digest:
                    yield f"{one['id']}: a verdict on {review['revision']} is on another text"
                if review["stale"] != (digest != one["revision"]["digest"]):
                    yield f"{one['id']}: a verdict on {review['revision']} is called stale wrongly"


def _approvals_of(log: ProjectLog, proposal_id: str) -> Iterator[str]:
    status, digest, owed = "", "", ""
    verdicts: dict[str, Frame] = {}
    for event in log.events:
        if event.get("proposal_id") != proposal_id:
            continue
        match event["type"]:
            case "revision_created":
                if status == "approved" and event["revision"]["digest"] != digest:
                    owed = event["id"]
                digest = event["revision"]["digest"]
            case "review_submitted":
                review = event["review"]
                if review["digest"] != digest:
                    yield f"{event['id']}: a verdict on a text that is not the newest"
                if review["verdict"] != "comment":
                    verdicts[review["reviewer"]] = review
            case "status_changed":
                if owed and event.get("cause") != "revised":
                    yield f"{owed}: the text has changed, and {event['id']} finds it approved"
                owed, status = "", event["to"]
                if status == "approved":
                    yield from _is_approved(event, digest, verdicts)
    if owed:
        yield f"{owed}: the text has changed, and {proposal_id} is approved still"


def _is_approved(event: Frame, digest: str, verdicts: dict[str, Frame]) -> Iterator[str]:
    said = {(one["verdict"], one["digest"]) for one in verdicts.values()}
    if ("approve", digest) not in said:
        yield f"{event['id']}: it is approved, and nobody has approved this text"
    if "request_changes" in {verdict for verdict, _ in said}:
        yield f"{event['id']}: it is approved, and somebody asks for changes"


def webhooks(story: Story) -> Iterator[str]:
    hooked = story.hooked
    if hooked is None or story.rest is None:
        return
    log = story.log(hooked["project_id"])
    head = seq_of(story.rest["heads"][hooked["project_id"]])
    wanted = [event for event in log.events if event["type"] in hooked["types"]]
    due = [event["id"] for event in wanted if hooked["after"] < seq_of(event["id"]) <= head]
    first: dict[str, str] = {}
    newest = 0
    for record in story.hooks:
        event: Frame = record["event"]
        name = str(event.get("id"))  # a gap that is told has none
        if log.by_id.get(name) != event or event["type"] not in hooked["types"]:
            yield f"the webhook was sent {event['type']} {name}, which is not in the log like that"
        elif name in first:
            if first[name] != record["id"]:
                yield f"{name} was sent under {first[name]} and {record['id']}"
        else:
            first[name] = record["id"]
            if seq_of(name) < newest:
                yield f"the webhook was sent {name} when it had been sent {newest}"
            newest = max(newest, seq_of(name))
    if missed := [event_id for event_id in due if event_id not in first]:
        yield f"the webhook was not sent {missed[:5]}, of {len(due)}"
