"""Ways in which a server breaks its promises, each made of a history in which all are kept.

Each takes a history and changes it; its name says what went wrong, and `SPOILINGS` which promise
has to be seen broken.
"""

from collections.abc import Callable
from typing import Any

from tests.chaos import text_spoilings
from tests.chaos.history import Frame, Record

History = list[Record]


def _log(history: History) -> list[Frame]:
    events: list[Frame] = _of(history, "log")["events"]
    return events


def _of(history: History, do: str, **fields: Any) -> Record:
    return next(
        record
        for record in history
        if record["do"] == do and all(record[name] == value for name, value in fields.items())
    )


def _frames(history: History, conn: int, type_: str) -> list[Record]:
    return [
        record
        for record in history
        if record["do"] == "frame" and record["conn"] == conn and record["frame"]["type"] == type_
    ]


def _event(history: History, type_: str, nth: int = 0, **fields: Any) -> Frame:
    """An event of the log."""
    found = [
        event
        for event in _log(history)
        if event["type"] == type_ and all(event.get(name) == v for name, v in fields.items())
    ]
    return found[nth]


def _answer(history: History, act: str, nth: int = 0) -> Record:
    call = [one for one in history if one["do"] == "call" and one["act"] == act][nth]
    return _of(history, "answer", call=call["call"])


def _replace(history: History, event: Frame, by: Frame) -> None:
    """Let log and clients have another event in a place."""
    by = {**by, "id": event["id"]}
    _log(history)[_log(history).index(event)] = by
    for record in history:
        if record["do"] == "frame" and record["frame"] == event:
            record["frame"] = by


def _swap(history: History, one: Frame, other: Frame) -> None:
    one, other = dict(one), dict(other)
    _replace(history, one, other)
    _replace(history, next(e for e in _log(history) if e["id"] == other["id"]), one)


def the_log_has_a_hole(history: History) -> None:
    del _log(history)[2]


def a_number_is_given_twice(history: History) -> None:
    events = _log(history)
    events[3] = {**events[3], "id": events[2]["id"]}


def a_second_epoch_begins(history: History) -> None:
    _log(history)[-1]["id"] = _log(history)[-1]["id"].replace("e0", "e1")


def an_acknowledged_event_is_overwritten(history: History) -> None:
    event = _event(history, "test.event", data=1)
    _replace(history, event, {**event, "data": 2})


def the_newest_acknowledged_event_is_lost(history: History) -> None:
    _log(history).pop()


def a_lost_answer_stores_it_twice(history: History) -> None:
    event = _event(history, "test.event", data=7)
    _replace(history, event, {**_event(history, "test.event", data=5)})


def attempts_are_answered_with_two_ids(history: History) -> None:
    calls = [one for one in history if one["do"] == "call" and one.get("key") == "k3"]
    answer = _of(history, "answer", call=calls[1]["call"])
    other = {**answer, "call": calls[0]["call"], "body": {"ids": ["e0-1"]}}
    history.insert(history.index(answer), other)


def a_batch_is_stored_in_part(history: History) -> None:
    _swap(history, _event(history, "test.event", data=4), _event(history, "test.event", data=5))


def a_batch_is_stored_out_of_order(history: History) -> None:
    _swap(history, _event(history, "test.event", data=3), _event(history, "test.event", data=4))


def what_was_refused_is_stored(history: History) -> None:
    event = _event(history, "test.event", data=6)
    _replace(history, event, {**event, "data": "k4"})


def an_event_comes_from_nowhere(history: History) -> None:
    event = _event(history, "test.event", data=6)
    _replace(history, event, {**event, "data": "from nowhere"})


def a_refused_comment_is_told(history: History) -> None:
    answer = _answer(history, "comment", 1)
    answer.update(status=409, body={"reason": "locked"})


def the_later_publication_stands_first(history: History) -> None:
    one, other = _event(history, "test.event", data=1), _event(history, "test.event", data=7)
    first, last = dict(one), dict(other)
    _swap(history, one, other)
    for record in history:
        if record["do"] == "answer" and (record["body"] or {}).get("ids") == [first["id"]]:
            record["body"] = {"ids": [last["id"]]}
        elif record["do"] == "answer" and (record["body"] or {}).get("ids") == [last["id"]]:
            record["body"] = {"ids": [first["id"]]}


def what_was_shown_is_rolled_back(history: History) -> None:
    event = _event(history, "test.event", data=7)
    shown = {**event, "data": "before the failover"}
    _frames(history, 4, "test.event")[-2]["frame"] = {**shown, "id": event["id"]}


def a_joined_piece_has_another_text(history: History) -> None:
    first, last = _frames(history, 3, "token")[:2]
    history.remove(first)
    last["frame"] = {**last["frame"], "first_n": 1, "content": "piece 1 piece 3 "}


def what_was_shown_is_gone(history: History) -> None:
    last = _frames(history, 3, "test.event")[-1]
    after = {**last, "frame": {**last["frame"], "id": "e0-999"}}
    history.insert(history.index(last) + 1, after)


def an_event_is_left_out(history: History) -> None:
    history.remove(_frames(history, 3, "output")[1])


def an_event_comes_twice(history: History) -> None:
    record = _frames(history, 3, "output")[1]
    history.insert(history.index(record), record)


def two_events_change_places(history: History) -> None:
    one, other = _frames(history, 3, "output")[:2]
    one["frame"], other["frame"] = other["frame"], one["frame"]


def the_seam_of_a_replay_leaves_one_out(history: History) -> None:
    history.remove(_frames(history, 4, "test.event")[0])


def a_replay_begins_too_early(history: History) -> None:
    before = _frames(history, 1, "output")[-1]
    at = history.index(_frames(history, 4, "welcome")[0])
    history.insert(at + 1, {**before, "conn": 4})


def a_filtered_client_is_moved_past_an_event(history: History) -> None:
    history.remove(_frames(history, 5, "test.event")[0])


def a_gap_is_told_of_what_is_there(history: History) -> None:
    record = _frames(history, 3, "output")[1]
    seq = int(record["frame"]["id"].rpartition("-")[2])
    record["frame"] = {"type": "gap", "requested": f"e0-{seq - 1}", "lost": 1}


def a_position_is_called_lost_that_is_there(history: History) -> None:
    welcome = _frames(history, 4, "welcome")[0]
    welcome["frame"]["resume"].update(outcome="lost", replayed=0)
    missed = [one for one in history if one["do"] == "frame" and one["conn"] == 4][1:]
    here = int(welcome["frame"]["position"].rpartition("-")[2])
    for record in missed:
        if int(record["frame"].get("id", "e0-999").rpartition("-")[2]) <= here:
            history.remove(record)
    gap = {"type": "gap", "requested": "e0-12", "lost": here - 12}
    history.insert(history.index(welcome) + 1, {"do": "frame", "t": 0, "conn": 4, "frame": gap})


def a_welcome_counts_wrongly(history: History) -> None:
    _frames(history, 4, "welcome")[0]["frame"]["resume"]["replayed"] += 1


def a_welcome_says_that_nothing_was_missed(history: History) -> None:
    resume = _frames(history, 4, "welcome")[0]["frame"]["resume"]
    resume.update(outcome="nothing_missed", replayed=0)


def a_comment_goes_to_a_stranger(history: History) -> None:
    event = _event(history, "comment_created")
    place = next(
        one for one in _frames(history, 3, "position") if one["frame"]["id"] == event["id"]
    )
    place["frame"] = event


def a_narrowed_client_gets_another_proposal(history: History) -> None:
    event = _event(history, "test.event", data=6)
    place = next(
        one for one in _frames(history, 5, "position") if one["frame"]["id"] == event["id"]
    )
    place["frame"] = event


def a_client_is_welcomed_twice(history: History) -> None:
    welcome = _frames(history, 3, "welcome")[0]
    history.insert(history.index(welcome) + 5, welcome)


def an_event_comes_before_the_welcome(history: History) -> None:
    welcome = _frames(history, 1, "welcome")[0]
    first = _frames(history, 1, "test.event")[0]
    history.remove(first)
    history.insert(history.index(welcome), first)


def a_position_goes_back(history: History) -> None:
    last = _frames(history, 5, "position")[-1]
    back = {**last, "frame": {"type": "position", "id": "e0-1"}}
    history.insert(history.index(last) + 1, back)


def a_session_ends_without_closing(history: History) -> None:
    history.remove(_frames(history, 2, "closing")[0])


def something_follows_closing(history: History) -> None:
    closing = _frames(history, 2, "closing")[0]
    after = {**closing, "frame": {"type": "position", "id": "e0-999"}}
    history.insert(history.index(closing) + 1, after)


def a_session_ends_with_a_code_that_is_none(history: History) -> None:
    _frames(history, 2, "closing")[0]["frame"]["code"] = 4999
    _of(history, "closed", conn=2)["code"] = 4999


def a_client_hangs(history: History) -> None:
    rest = history.index(_of(history, "rest"))
    for record in _frames(history, 3, "test.event")[-1:]:
        history.remove(record)
        rest -= 1


def it_never_comes_to_rest(history: History) -> None:
    history.remove(_of(history, "rest"))


def it_does_not_settle(history: History) -> None:
    _of(history, "rest")["unrest"] = "a connection is listed for nobody"


def a_run_has_no_end(history: History) -> None:
    event = _event(history, "validation_complete")
    _replace(history, event, {**_event(history, "output", run_id="r1"), "n": 4})


def a_run_ends_twice(history: History) -> None:
    event = _event(history, "output", 1, run_id="r2")
    _replace(history, event, _event(history, "validation_error"))


def an_iteration_ends_twice(history: History) -> None:
    event = _event(history, "token", 1, run_id="i2")
    _replace(history, event, _event(history, "iteration_error"))


def an_accepted_iteration_never_begins(history: History) -> None:
    _answer(history, "iterate")["body"]["run_id"] = "i9"


def a_piece_of_a_reply_is_left_out(history: History) -> None:
    event = _event(history, "token", 1, run_id="i1")
    _replace(history, event, {**event, "n": 3})


def an_accepted_run_never_begins(history: History) -> None:
    _answer(history, "validate")["body"]["run_id"] = "r9"


def a_run_is_under_way_for_ever(history: History) -> None:
    _of(history, "state")["snapshot"]["active_runs"] = [{"run_id": "r2"}]


def a_line_follows_the_end_of_its_run(history: History) -> None:
    _swap(history, _event(history, "output", -1), _event(history, "validation_error"))


def a_line_comes_before_its_run(history: History) -> None:
    _swap(history, _event(history, "output"), _event(history, "validation_start"))


def a_line_is_left_out(history: History) -> None:
    event = _event(history, "output", 1)
    _replace(history, event, {**event, "n": 3})


def a_verdict_counts_other_lines(history: History) -> None:
    event = _event(history, "validation_complete")
    _replace(history, event, {**event, "summary": {"lines": 4}})


def two_runs_of_a_proposal_at_a_time(history: History) -> None:
    event = _event(history, "output", 1, run_id="r1")
    second = {**_event(history, "validation_start"), "run_id": "r9"}
    _replace(history, event, second)


def a_run_can_be_read_to_have_ended_otherwise(history: History) -> None:
    _of(history, "state")["runs"]["r2"]["state"] = "passed"


def a_move_begins_where_the_proposal_is_not(history: History) -> None:
    event = _event(history, "status_changed", 1)
    _replace(history, event, {**event, "from": "draft"})


def two_changes_make_one_version(history: History) -> None:
    event = _event(history, "status_changed", 1)
    _replace(history, event, {**event, "version": 2})


def state_and_events_part(history: History) -> None:
    _of(history, "state")["snapshot"]["proposals"][0]["status"] = "in_review"


def an_acknowledged_move_is_rolled_back(history: History) -> None:
    _answer(history, "status")["body"].update(status="rejected")


def a_comment_is_told_and_not_there(history: History) -> None:
    _of(history, "state")["comments"]["a"].clear()


def an_acknowledged_comment_is_lost(history: History) -> None:
    _answer(history, "comment")["body"]["id"] = "c999"


def the_lock_can_be_read_as_free(history: History) -> None:
    _of(history, "state")["snapshot"]["lock"] = None


def two_users_hold_the_lock(history: History) -> None:
    event = _event(history, "lock_changed", 1)
    _replace(history, event, {**event, "locked": True, "by": "cleo", "at": "now"})


def who_was_answered_to_hold_the_lock_does_not(history: History) -> None:
    _answer(history, "lock", 1)["body"]["at"] = "never"


def a_project_goes_beyond_its_limit(history: History) -> None:
    listing = _of(history, "listed", at_rest=False)
    listing["connections"] = [{"id": f"id{n}", "user_id": f"u{n}"} for n in range(5)]


def a_user_stays_beyond_their_limit(history: History) -> None:
    _of(history, "setup")["user_limit"] = 0


def a_place_is_kept_for_nobody(history: History) -> None:
    listing = _of(history, "listed", at_rest=True)
    listing["connections"].append({"id": "ghost", "user_id": "ada"})


def a_connection_has_lost_its_place(history: History) -> None:
    _of(history, "listed", at_rest=True)["connections"].pop()


def somebody_is_seen_who_has_left(history: History) -> None:
    frame = _frames(history, 3, "presence")[-1]["frame"]
    frame["present"] = [*frame["present"], {"user_id": "eve", "name": "Eve", "proposal_ids": []}]


def an_act_is_not_recorded(history: History) -> None:
    records = _of(history, "audit")["records"]
    records[1] = {**records[1], "details": {}}


def the_audit_log_has_a_hole(history: History) -> None:
    del _of(history, "audit")["records"][0]


def a_record_was_changed(history: History) -> None:
    _of(history, "audit")["findings"] = ["a record does not fit to its hash"]


def the_server_fails(history: History) -> None:
    _answer(history, "status").update(status=500, body=None)


def a_batch_is_answered_with_too_few_ids(history: History) -> None:
    _answer(history, "publish", 1)["body"]["ids"].pop()


SPOILINGS: dict[str, tuple[Callable[[History], None], ...]] = {
    "dense": (the_log_has_a_hole, a_number_is_given_twice, a_second_epoch_begins),
    "kept": (an_acknowledged_event_is_overwritten, the_newest_acknowledged_event_is_lost),
    "once": (a_lost_answer_stores_it_twice, attempts_are_answered_with_two_ids),
    "whole": (a_batch_is_stored_in_part, a_batch_is_stored_out_of_order),
    "true": (what_was_refused_is_stored, an_event_comes_from_nowhere, a_refused_comment_is_told),
    "ordered": (the_later_publication_stands_first,),
    "durable": (
        *(what_was_shown_is_rolled_back, what_was_shown_is_gone),
        a_joined_piece_has_another_text,
    ),
    "complete": (
        *(an_event_is_left_out, an_event_comes_twice, two_events_change_places),
        *(the_seam_of_a_replay_leaves_one_out, a_replay_begins_too_early),
        *(a_filtered_client_is_moved_past_an_event, a_gap_is_told_of_what_is_there),
        a_position_is_called_lost_that_is_there,
    ),
    "counted": (a_welcome_counts_wrongly, a_welcome_says_that_nothing_was_missed),
    "private": (a_comment_goes_to_a_stranger, a_narrowed_client_gets_another_proposal),
    "welcome": (
        *(a_client_is_welcomed_twice, an_event_comes_before_the_welcome, a_position_goes_back),
    ),
    "closing": (
        *(a_session_ends_without_closing, something_follows_closing),
        a_session_ends_with_a_code_that_is_none,
    ),
    "caught_up": (a_client_hangs, it_never_comes_to_rest, it_does_not_settle),
    "ended_once": (
        *(a_run_has_no_end, a_run_ends_twice, an_accepted_run_never_begins),
        *(a_run_is_under_way_for_ever, an_iteration_ends_twice),
        an_accepted_iteration_never_begins,
    ),
    "fenced": (a_line_follows_the_end_of_its_run, a_line_comes_before_its_run),
    "lines": (*(a_line_is_left_out, a_verdict_counts_other_lines, a_piece_of_a_reply_is_left_out),),
    "alone": (two_runs_of_a_proposal_at_a_time,),
    "run_state": (a_run_can_be_read_to_have_ended_otherwise,),
    "atomic": text_spoilings.ATOMIC,
    "revisions": text_spoilings.REVISIONS,
    "approvals": text_spoilings.APPROVALS,
    "moves": (a_move_begins_where_the_proposal_is_not, two_changes_make_one_version),
    "state": (
        *(state_and_events_part, an_acknowledged_move_is_rolled_back),
        *(a_comment_is_told_and_not_there, an_acknowledged_comment_is_lost),
        the_lock_can_be_read_as_free,
    ),
    "locked": (two_users_hold_the_lock, who_was_answered_to_hold_the_lock_does_not),
    "limits": (a_project_goes_beyond_its_limit, a_user_stays_beyond_their_limit),
    "places": (a_place_is_kept_for_nobody, a_connection_has_lost_its_place),
    "presence": (somebody_is_seen_who_has_left,),
    "webhooks": text_spoilings.WEBHOOKS,
    "recorded": (an_act_is_not_recorded,),
    "unbroken": (the_audit_log_has_a_hole, a_record_was_changed),
    "answered": (the_server_fails, a_batch_is_answered_with_too_few_ids),
}
"""By the promise that is broken."""
