"""What a run under faults writes down: one JSON object a line, in the order in which it happened.

Everything that the checker judges by is in here, and nothing else: a history that was kept can be
judged again, by a later checker too. `t` is in seconds since the beginning.

    setup     user_limit, project_limit: of connections
    call      call, worker, user, act, project_id, body, key?: sent; `act` is publish, comment,
              status, lock, unlock, validate, iterate, revise or review
    answer    call, status, body. A call without an answer has an unknown outcome
    open      conn, client, transport, user, project_id, view, asked: a connection is asked for
    frame     conn, frame: received
    closed    conn, code: by whichever side; null where the transport has none or was cut
    fault     name, on
    wrote     project_id, proposal_id, path, text: into the workspace, beside the server
    hooked    project_id, types, after: an endpoint is told of what comes after this number
    hook      id, event: what the endpoint was sent and accepted, in the order of that
    listed    project_id, connections: the registry as an admin sees it; at_rest
    rest      heads: all is healed and has come to rest; the newest id of each project before it;
              unrest: what did not come to rest in time, if anything
    log       project_id, events: the whole log in the end, as a member of every proposal reads it
    state     project_id, snapshot, comments by proposal, runs by id, revisions by proposal (the
              first one first), contents by SHA-256, disk by proposal and path: what can be read in
              the end
    audit     records: the whole audit log; findings: of its verification
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

Record = dict[str, Any]
Frame = dict[str, Any]


class HistoryFile:
    """A history that is being written.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._began_s = time.monotonic()

    def add(self, do: str, **fields: Any) -> None:
        record = {"do": do, "t": round(time.monotonic() - self._began_s, 4), **fields}
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def read_history(path: Path) -> list[Record]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass
class Call:
    """A request, and what was answered.

    Attributes:
        sent: its record.
        answer: the record of the answer; None where none came.
    """

    sent: Record
    answer: Record | None = None

    @property
    def status(self) -> int:
        return 0 if self.answer is None else int(self.answer["status"])

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether it is known to have changed nothing."""
        return 400 <= self.status < 500


@dataclass
class Connection:
    """A connection from its beginning to its end.

    Attributes:
        opened: its record.
        frames: in the order in which they came.
        closed: the record of its end; None where it lasts.
        lasts_at_rest: whether it was welcomed, and open when all had come to rest.
        frames_at_rest: how many frames had come by then.
    """

    opened: Record
    frames: list[Frame] = field(default_factory=list)
    closed: Record | None = None
    lasts_at_rest: bool = False
    frames_at_rest: int = 0

    @property
    def welcome(self) -> Frame | None:
        return next((frame for frame in self.frames if frame["type"] == "welcome"), None)

    @property
    def name(self) -> str:
        return f"connection {self.opened['conn']} of {self.opened['client']}"


@dataclass
class ProjectLog:
    """A project's log in the end.

    Attributes:
        events: in order.
        by_id: the same.
        members: author and reviewers of each proposal; they do not change in these histories.
        tokens: the pieces of each reply of a model, by run.
    """

    events: list[Frame]
    by_id: dict[str, Frame] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    tokens: dict[str, list[Frame]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for event in self.of("token"):
            self.tokens.setdefault(event["run_id"], []).append(event)
        self.by_id = {event["id"]: event for event in self.events}
        for event in self.of("proposal_created"):
            proposal = event["proposal"]
            self.members[proposal["id"]] = {proposal["author"], *proposal["reviewers"]}

    def of(self, *types: str) -> Iterator[Frame]:
        return (event for event in self.events if event["type"] in types)


@dataclass
class Story:
    """A history, taken apart."""

    setup: Record = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    faults: list[Record] = field(default_factory=list)
    listings: list[Record] = field(default_factory=list)
    logs: dict[str, ProjectLog] = field(default_factory=dict)
    states: dict[str, Record] = field(default_factory=dict)
    written: list[Record] = field(default_factory=list)
    hooked: Record | None = None
    hooks: list[Record] = field(default_factory=list)
    rest: Record | None = None
    audit: Record | None = None

    def done(self, act: str) -> list[Call]:
        """The calls of a kind that were acknowledged."""
        return [one for one in self.calls.values() if one.sent["act"] == act and one.is_done]

    def log(self, project_id: str) -> ProjectLog:
        return self.logs.get(project_id) or ProjectLog([])

    def by_key(self) -> dict[str, list[Call]]:
        """The attempts of each publication."""
        attempts: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls.values():
            if call.sent["act"] == "publish":
                attempts[call.sent["key"]].append(call)
        return attempts

    def take(self, record: Record) -> None:
        match record["do"]:
            case "setup":
                self.setup = record
            case "call":
                self.calls[record["call"]] = Call(record)
            case "answer":
                self.calls[record["call"]].answer = record
            case "open":
                self.connections[record["conn"]] = Connection(record)
            case "frame":
                self.connections[record["conn"]].frames.append(record["frame"])
            case "closed":
                self.connections[record["conn"]].closed = record
            case "rest":
                self.rest = record
                for one in self.connections.values():
                    one.lasts_at_rest = one.closed is None and one.welcome is not None
                    one.frames_at_rest = len(one.frames)
            case _:
                self._take_what_was_read(record)

    def _take_what_was_read(self, record: Record) -> None:
        match record["do"]:
            case "fault":
                self.faults.append(record)
            case "listed":
                self.listings.append(record)
            case "wrote":
                self.written.append(record)
            case "hooked":
                self.hooked = record
            case "hook":
                self.hooks.append(record)
            case "log":
                self.logs[record["project_id"]] = ProjectLog(record["events"])
            case "state":
                self.states[record["project_id"]] = record
            case "audit":
                self.audit = record


def story_of(history: Iterable[Record]) -> Story:
    story = Story()
    for record in history:
        story.take(record)
    return story
