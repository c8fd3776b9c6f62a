"""Ways to break the promises about texts and webhooks; see `tests.chaos.spoilings`."""

from collections.abc import Callable
from typing import Any

from tests.chaos.history import Frame, Record

History = list[Record]
Spoiling = Callable[[History], None]


def _of(history: History, do: str) -> Record:
    return next(record for record in history if record["do"] == do)


def _told(history: History, type_: str, nth: int = 0) -> Frame:
    """An event of the log, to be changed there."""
    log = _of(history, "log")["events"]
    found: Frame = [one for one in log if one["type"] == type_][nth]
    return found


def _revision(history: History, number: int) -> Frame:
    found: Frame = _of(history, "state")["revisions"]["a"][number - 1]
    return found


def _content(history: History, text: str) -> None:
    """Let the state have another content than it has, wherever that is."""
    contents = _of(history, "state")["contents"]
    name = next(name for name, found in contents.items() if found == "# upload 3\n")
    contents[name] = text


def a_revision_has_a_part_of_an_iteration(history: History) -> None:
    first, last = _revision(history, 2)["files"], _revision(history, 4)["files"]
    old = next(file for file in first if file["path"] == "tasks.md")
    last[[file["path"] for file in last].index("tasks.md")] = old


def a_complete_iteration_is_in_no_revision(history: History) -> None:
    _told(history, "iteration_start")["instruction"] = "make it 99"


def a_lost_iteration_is_in_a_revision(history: History) -> None:
    end = _told(history, "iteration_complete")
    end.update(type="iteration_error", files_modified=[], error="gone; nothing was written")


def a_number_of_a_revision_is_left_out(history: History) -> None:
    _told(history, "revision_created", 2)["revision"]["number"] = 9


def a_revision_is_not_told(history: History) -> None:
    state = _of(history, "state")["revisions"]["a"]
    state.append({**state[-1], "number": 5})


def a_revision_is_told_as_another(history: History) -> None:
    _told(history, "revision_created", 1)["revision"]["cause"] = "upload"


def a_file_of_a_revision_was_changed(history: History) -> None:
    _content(history, "# disk 1\n")


def a_text_comes_from_nowhere(history: History) -> None:
    _content(history, "# from nowhere\n")


def an_upload_was_stored_in_part(history: History) -> None:
    call = next(one for one in history if one["do"] == "call" and one["act"] == "revise")
    call["body"]["files"]["specs/a/spec.md"] = "# upload 4\n"


def a_refused_text_is_in_a_revision(history: History) -> None:
    call = next(one for one in history if one["do"] == "call" and one["act"] == "revise")
    answer = next(r for r in history if r["do"] == "answer" and r["call"] == call["call"])
    answer.update(status=409, body={"reason": "conflict"})


def an_edit_on_disk_is_never_seen(history: History) -> None:
    _of(history, "state")["disk"]["a"]["proposal.md"] = "# disk 9\n"


def a_proposal_is_shown_with_an_older_text(history: History) -> None:
    proposals = _of(history, "state")["snapshot"]["proposals"]
    proposals[0]["revision"] = {"number": 1, "digest": _revision(history, 1)["digest"]}


def an_approved_text_changes_and_stays_approved(history: History) -> None:
    log = _of(history, "log")["events"]
    log.remove(next(event for event in log if event.get("cause") == "revised"))


def nobody_has_approved(history: History) -> None:
    _told(history, "review_submitted")["review"]["verdict"] = "comment"


def a_request_for_changes_is_passed_over(history: History) -> None:
    _told(history, "review_submitted", 1)["review"]["verdict"] = "request_changes"


def a_verdict_is_on_an_older_text(history: History) -> None:
    review = _told(history, "review_submitted", 1)["review"]
    review["digest"] = _revision(history, 2)["digest"]


def an_acknowledged_verdict_is_not_told(history: History) -> None:
    call = next(one for one in history if one["do"] == "call" and one["act"] == "review")
    answer = next(r for r in history if r["do"] == "answer" and r["call"] == call["call"])
    answer["body"]["verdict"] = "comment"


def a_stale_verdict_is_shown_to_stand(history: History) -> None:
    review: dict[str, Any] = _of(history, "state")["snapshot"]["proposals"][0]["reviews"][0]
    review.update(revision=1, digest=_revision(history, 1)["digest"])


def an_event_is_not_sent(history: History) -> None:
    history.remove(_of(history, "hook"))


def what_is_sent_is_not_in_the_log(history: History) -> None:
    _of(history, "hook")["event"]["data"] = "another"


def what_it_does_not_want_is_sent(history: History) -> None:
    event = next(e for e in _of(history, "log")["events"] if e["type"] == "comment_created")
    hook = _of(history, "hook")
    history.insert(history.index(hook), {**hook, "id": "msg_x", "event": event})


def two_messages_change_places(history: History) -> None:
    one, other = [record for record in history if record["do"] == "hook"][3:5]
    at, to = history.index(one), history.index(other)
    history[at], history[to] = other, one


def a_message_comes_again_under_another_id(history: History) -> None:
    hook = _of(history, "hook")
    history.insert(history.index(hook) + 1, {**hook, "id": "msg_x"})


ATOMIC: tuple[Spoiling, ...] = (
    *(a_revision_has_a_part_of_an_iteration, a_complete_iteration_is_in_no_revision),
    a_lost_iteration_is_in_a_revision,
)
REVISIONS: tuple[Spoiling, ...] = (
    *(a_number_of_a_revision_is_left_out, a_revision_is_not_told, a_revision_is_told_as_another),
    *(a_file_of_a_revision_was_changed, a_text_comes_from_nowhere, an_upload_was_stored_in_part),
    *(a_refused_text_is_in_a_revision, an_edit_on_disk_is_never_seen),
    a_proposal_is_shown_with_an_older_text,
)
APPROVALS: tuple[Spoiling, ...] = (
    *(an_approved_text_changes_and_stays_approved, nobody_has_approved),
    *(a_request_for_changes_is_passed_over, a_verdict_is_on_an_older_text),
    *(an_acknowledged_verdict_is_not_told, a_stale_verdict_is_shown_to_stand),
)
WEBHOOKS: tuple[Spoiling, ...] = (
    *(an_event_is_not_sent, what_is_sent_is_not_in_the_log, what_it_does_not_want_is_sent),
    *(two_messages_change_places, a_message_comes_again_under_another_id),
)
