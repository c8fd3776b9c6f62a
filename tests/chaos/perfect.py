"""A small history in which every promise is kept: what a server without a fault would have done.

It is there to be spoiled: each way in which a promise can be broken is made by changing it, and has
to be seen.
"""

import copy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.chaos.edits import REVISED, digest_of
from tests.chaos.history import Connection, Frame, ProjectLog, Record
from tests.chaos.stream_checks import may_see

PROJECT, EPOCH = "p", "e0"
HOOK_TYPES = ("test.event", "status_changed", "revision_created", "review_submitted")
MEMBERS = ("ada", "ben")


@dataclass
class Perfect:
    """Writes the history of a server of one project."""

    history: list[Record] = field(default_factory=list)
    events: list[Frame] = field(default_factory=list)
    open: dict[int, Connection] = field(default_factory=dict)
    records: list[Frame] = field(default_factory=list)
    proposals: dict[str, Frame] = field(default_factory=dict)
    comments: dict[str, list[Frame]] = field(default_factory=dict)
    runs: dict[str, Frame] = field(default_factory=dict)
    revisions: dict[str, list[Frame]] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    disk: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: Frame | None = None
    calls: int = 0

    def add(self, do: str, **fields: Any) -> Record:
        record = {"do": do, "t": len(self.history) * 0.1, **copy.deepcopy(fields)}
        self.history.append(record)
        return record

    def call(self, act: str, user: str, body: Frame, **more: Any) -> int:
        self.calls += 1
        self.add(
            "call", call=self.calls, worker="w1", user=user, act=act, project_id=PROJECT,
            body=body, **more,
        )  # fmt: skip
        return self.calls

    def answer(self, call: int, status: int, body: Any) -> None:
        self.add("answer", call=call, status=status, body=body)

    def event(self, type_: str, **fields: Any) -> Frame:
        seq = len(self.events) + 1
        event = {
            "type": type_,
            "id": f"{EPOCH}-{seq}",
            "project_id": PROJECT,
            "ts": "then",
            **copy.deepcopy(fields),
        }
        self.events.append(event)
        log = ProjectLog(self.events)
        for conn, one in self.open.items():
            if may_see(event, one, log):
                self.add("frame", conn=conn, frame=event)
            else:
                self.add("frame", conn=conn, frame={"type": "position", "id": event["id"]})
        return event

    def record(self, action: str, target: str | None = None, **details: Any) -> None:
        seq = len(self.records) + 1
        self.records.append(
            {
                "type": "audit", "id": f"a0-{seq}", "action": action, "outcome": "allowed",
                "target": target, "details": details,
            }
        )  # fmt: skip

    def publish(self, key: str, *data: Any, proposal_id: str | None = None, tries: int = 1) -> None:
        about = {} if proposal_id is None else {"proposal_id": proposal_id}
        drafts = [{"type": "test.event", "data": one, **about} for one in data]
        for _ in range(tries - 1):  # the answers to these are lost
            self.call("publish", "svc", {"events": drafts}, key=key)
        call = self.call("publish", "svc", {"events": drafts}, key=key)
        ids = [
            self.event(**{"type_": one["type"], "data": one["data"], **about})["id"]
            for one in drafts
        ]
        self.record("event.published", first=ids[0])
        self.answer(call, 201, {"id": ids[0], "ids": ids})

    def refuse(self, key: str) -> None:
        call = self.call("publish", "svc", {"type": "test.event", "data": key}, key=key)
        self.answer(call, 422, {"reason": "invalid"})

    def propose(self, proposal_id: str) -> None:
        self.proposals[proposal_id] = {
            "id": proposal_id, "author": MEMBERS[0], "reviewers": list(MEMBERS[1:]),
            "status": "draft", "version": 1, "revision": None, "reviews": [],
        }  # fmt: skip
        self.event(
            "proposal_created", proposal_id=proposal_id, proposal=dict(self.proposals[proposal_id])
        )

    def move(self, proposal_id: str, to: str) -> None:
        call = self.call("status", "ada", {"proposal_id": proposal_id, "status": to})
        now = self.proposals[proposal_id]
        before, now["status"], now["version"] = now["status"], to, now["version"] + 1
        self.event(
            "status_changed", proposal_id=proposal_id, to=to, version=now["version"],
            **{"from": before},
        )  # fmt: skip
        self.record("proposal.status_changed", proposal_id, version=now["version"])
        self.answer(call, 200, dict(now))

    def revision(self, proposal_id: str, texts: dict[str, str], **about: Any) -> Frame:
        """Make what is on disk a revision; it."""
        disk, now = self.disk.setdefault(proposal_id, {}), self.proposals[proposal_id]
        disk.update(texts)
        encoded = {path: text.encode() for path, text in disk.items()}
        hashes = {path: sha256(content).hexdigest() for path, content in encoded.items()}
        self.contents.update((hashes[path], text) for path, text in disk.items())
        there = self.revisions.setdefault(proposal_id, [])
        made = {
            "proposal_id": proposal_id, "number": len(there) + 1, "digest": digest_of(encoded),
            "files": [{"path": path, "sha256": hashes[path]} for path in sorted(disk)], **about,
        }  # fmt: skip
        there.append(made)
        now["revision"] = {"number": made["number"], "digest": made["digest"]}
        now["version"] += 1
        for review in now["reviews"]:
            review["stale"] = review["digest"] != made["digest"]
        was_approved = now["status"] == "approved"
        if was_approved:
            now["status"] = "in_review"
        self.event("proposal_updated", proposal_id=proposal_id, proposal=now)
        if was_approved:
            self.event(
                "status_changed", proposal_id=proposal_id, to="in_review", cause="revised",
                version=now["version"], **{"from": "approved"},
            )  # fmt: skip
        self.event("revision_created", proposal_id=proposal_id, revision=made)
        return made

    def edit(self, proposal_id: str, text: str) -> None:
        path = "proposal.md"
        self.add("wrote", project_id=PROJECT, proposal_id=proposal_id, path=path, text=text)
        self.revision(proposal_id, {path: text}, cause="disk")

    def revise(self, proposal_id: str, text: str) -> None:
        files = {"proposal.md": text, "specs/a/spec.md": text}
        call = self.call("revise", "ada", {"proposal_id": proposal_id, "files": files})
        made = self.revision(proposal_id, files, cause="upload")
        self.record("revision.created", proposal_id, revision=made["number"])
        self.answer(call, 201, made)

    def review(self, proposal_id: str, verdict: str) -> None:
        now = self.proposals[proposal_id]
        number, user = now["revision"]["number"], MEMBERS[1]
        call = self.call("review", user, {"proposal_id": proposal_id, "revision": number})
        made = {
            "reviewer": user, "verdict": verdict, "revision": number, "stale": False,
            "digest": now["revision"]["digest"],
        }  # fmt: skip
        now["reviews"], now["version"] = [made], now["version"] + 1
        self.event("proposal_updated", proposal_id=proposal_id, proposal=now)
        self.event("review_submitted", proposal_id=proposal_id, review=made)
        self.record("review.submitted", proposal_id, revision=number)
        self.records[-1]["actor"] = user
        self.answer(call, 201, made)

    def iterate(self, proposal_id: str, run_id: str, number: int, *, lost: bool = False) -> None:
        instruction = f"make it {number}"
        body = {"proposal_id": proposal_id, "instruction": instruction}
        call = self.call("iterate", "ada", body)
        about = {"proposal_id": proposal_id, "run_id": run_id}
        self.event("iteration_start", **about, instruction=instruction)
        self.record("iteration.started", proposal_id, run_id=run_id)
        self.answer(call, 202, {"run_id": run_id})
        for n in (1, 2):
            self.event("token", **about, n=n, content=f"piece {n} ")
        if lost:
            self.event("iteration_error", **about, error="gone", reason="worker_lost")
        else:
            files = dict.fromkeys(REVISED, f"# model {number}\n")
            self.revision(proposal_id, files, cause="iteration", run_id=run_id)
            self.event("iteration_complete", **about, files_modified=[*REVISED], validation={})
        self.runs[run_id] = {"run_id": run_id, "state": "error" if lost else "completed"}

    def comment(self, proposal_id: str, text: str, user: str = "cleo") -> None:
        call = self.call("comment", user, {"proposal_id": proposal_id, "text": text})
        comment = {"id": f"c{call}", "proposal_id": proposal_id, "author": user, "text": text}
        self.comments.setdefault(proposal_id, []).append(comment)
        self.event("comment_created", proposal_id=proposal_id, comment=comment)
        self.record("comment.created", proposal_id, comment_id=comment["id"])
        self.answer(call, 201, comment)

    def take_lock(self, user: str) -> None:
        call = self.call("lock", user, {"reason": "r"})
        self.lock = {"by": user, "reason": "r", "at": f"at {call}"}
        self.event("lock_changed", locked=True, **self.lock)
        self.answer(call, 200, {"locked": True, **self.lock})

    def give_lock_back(self) -> None:
        assert self.lock is not None
        call = self.call("unlock", self.lock["by"], {})
        self.event("lock_changed", locked=False, by=self.lock["by"], reason="r", cause="released")
        self.lock = None
        self.answer(call, 204, None)

    def run(self, proposal_id: str, run_id: str, lines: int, *, lost: bool = False) -> None:
        call = self.call("validate", "ada", {"proposal_id": proposal_id})
        about = {"proposal_id": proposal_id, "run_id": run_id}
        self.event("validation_start", **about, command="c")
        self.record("validation.started", proposal_id, run_id=run_id)
        self.answer(call, 202, {"run_id": run_id})
        for n in range(1, lines + 1):
            self.event("output", **about, n=n, line="l", stream="stdout")
        if lost:
            self.event("validation_error", **about, error="gone", reason="worker_lost")
        else:
            self.event("validation_complete", **about, status="passed", summary={"lines": lines})
        self.runs[run_id] = {"run_id": run_id, "state": "error" if lost else "passed"}

    def connect(
        self, conn: int, user: str, view: tuple[str, ...] = (), asked: str | None = None
    ) -> None:
        opened = self.add(
            "open", conn=conn, client=user, transport="websocket", user=user, project_id=PROJECT,
            view=list(view), asked=asked,
        )  # fmt: skip
        self.open[conn] = one = Connection(opened)
        log, here = ProjectLog(self.events), f"{EPOCH}-{len(self.events)}"
        missed = []
        if asked is not None:
            missed = [
                e for e in self.events[int(asked.rpartition("-")[2]) :] if may_see(e, one, log)
            ]
        outcome = "fresh" if asked is None else "replayed" if missed else "nothing_missed"
        resume = {"outcome": outcome, "requested": asked, "replayed": len(missed), "lost": 0}
        welcome = {
            "type": "welcome", "connection_id": f"id{conn}", "user_id": user, "position": here,
            "resume": resume,
        }  # fmt: skip
        self.add("frame", conn=conn, frame=welcome)
        for event in missed:
            self.add("frame", conn=conn, frame=event)
        self.add("frame", conn=conn, frame={"type": "position", "id": here})

    def leave(self, conn: int, code: int | None = None) -> None:
        del self.open[conn]
        if code is not None:
            self.add("frame", conn=conn, frame={"type": "closing", "code": code, "reason": "r"})
        self.add("closed", conn=conn, code=code)

    def rest(self) -> None:
        users = sorted({one.opened["user"] for one in self.open.values()})
        people = [{"user_id": user, "name": user, "proposal_ids": []} for user in users]
        for conn in self.open:
            frame = {"type": "presence", "count": len(people), "present": people}
            self.add("frame", conn=conn, frame=frame)
        for event in self.events:
            if event["type"] in HOOK_TYPES:
                self.add("hook", id=f"msg_{event['id']}", event=event)
        self.add("rest", heads={PROJECT: f"{EPOCH}-{len(self.events)}"}, unrest="")
        listed = [
            {"id": f"id{conn}", "user_id": one.opened["user"]} for conn, one in self.open.items()
        ]
        self.add("listed", project_id=PROJECT, connections=listed, at_rest=True)
        self.add("log", project_id=PROJECT, events=self.events)
        snapshot = {
            "proposals": list(self.proposals.values()),
            "lock": self.lock,
            "active_runs": [],
        }
        self.add(
            "state", project_id=PROJECT, snapshot=snapshot, comments=self.comments, runs=self.runs,
            revisions=self.revisions, contents=self.contents, disk=self.disk,
        )  # fmt: skip
        self.add("audit", records=self.records, findings=[])


def perfect_history() -> list[Record]:
    """Three clients, two of which come back; runs, comments, texts, the lock, a lost answer."""
    one = Perfect()
    one.add("setup", user_limit=2, project_limit=4)
    one.add("hooked", project_id=PROJECT, types=[*HOOK_TYPES], after=0)
    one.propose("a")
    one.propose("b")
    one.connect(1, "ada")
    one.connect(2, "ben", view=("a",))
    one.connect(3, "cleo")
    one.publish("k1", 1)
    one.publish("k2", 2, 3, 4)
    one.comment("a", "first")
    one.run("a", "r1", lines=3)
    one.leave(1)
    one.move("a", "in_review")
    one.publish("k3", 5, tries=2)
    one.add("fault", name="kill_worker", on="w2")
    one.refuse("k4")
    one.connect(4, "ada", asked=f"{EPOCH}-12")
    one.take_lock("ada")
    one.give_lock_back()
    one.take_lock("ben")
    one.run("b", "r2", lines=2, lost=True)
    one.add(
        "listed", project_id=PROJECT, connections=[{"id": "id4", "user_id": "ada"}], at_rest=False
    )
    one.leave(2, code=4009)
    one.connect(5, "ben", view=("a",), asked=f"{EPOCH}-{len(one.events)}")
    one.publish("k5", 6, proposal_id="b")
    one.publish("k6", 7, proposal_id="a")
    one.comment("b", "second", user="ada")
    one.edit("a", "# disk 1\n")
    one.iterate("a", "i1", 1)
    one.iterate("a", "i2", 2, lost=True)
    one.review("a", "approve")
    one.move("a", "approved")
    one.revise("a", "# upload 3\n")
    one.iterate("a", "i3", 4)
    one.review("a", "approve")
    one.move("a", "approved")
    one.publish("k7", "end")
    one.rest()
    return one.history
