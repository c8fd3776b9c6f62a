"""Random histories of a project, with the snapshot that its server would give at each position."""

import random
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]

KINDS = ("validation", "iteration")
STATUSES = ("draft", "in_review", "approved")
ENDS = {
    "validation": ("validation_complete", "validation_error", "validation_cancelled"),
    "iteration": ("iteration_complete", "iteration_error", "iteration_cancelled"),
}
PIECES = {"validation": "output", "iteration": "token"}


@dataclass
class Server:
    """A project as its server knows it.

    Attributes:
        ids: what proposals and runs are called.
        events: the log.
        states: after each event, what a snapshot says; the first one is of the empty log.
        begun: for each proposal and kind the ids of its runs, in the order in which they began.
        verdicts: after each event, of each proposal the run with the newest verdict: its id, what
            was said, and of which text.
        strays: runs that were under way when their proposal was removed, and so are of none.
    """

    chance: random.Random
    ids: list[str]
    events: list[Frame] = field(default_factory=list)
    states: list[Frame] = field(default_factory=list)
    begun: list[dict[tuple[str, str], list[str]]] = field(default_factory=list)
    verdicts: list[dict[str, tuple[str, str, str]]] = field(default_factory=list)
    strays: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._proposals: dict[str, Frame] = {}
        self._active: dict[tuple[str, str], Frame] = {}
        self._begun: dict[tuple[str, str], list[str]] = {}
        self._ended: dict[tuple[str, str], Frame] = {}
        self._verdicts: dict[str, Frame] = {}
        self._removed: dict[str, int] = {}
        self._lock: Frame | None = None
        self._runs = 0
        self._note()

    def live(self, events: int) -> None:
        """Let things happen until there are so many events."""
        while len(self.events) < events:
            act = self.chance.choice(
                [
                    *(self._propose, self._change, self._lock_or_unlock, self._publish),
                    *[self._run] * 6,
                    *([self._remove] if self.chance.random() < 0.3 else []),
                ]
            )
            act()

    def snapshot(self, position: int, *, read_at: int | None = None) -> Frame:
        """What is answered to whoever asked at a position; the rest may be read a little later."""
        return {
            **self.states[position if read_at is None else read_at],
            "position": _position(position),
        }

    def _append(self, type_: str, **fields: Any) -> None:
        here = len(self.events) + 1
        at = _moment(here)
        event = {"type": type_, "id": _position(here), "project_id": "p", "ts": at, **fields}
        self.events.append(event)

    def _note(self) -> None:
        """Keep what is true after the newest event."""
        self.states.append(
            {
                "project_id": "p",
                "lock": self._lock,
                "proposals": list(self._proposals.values()),
                "active_runs": [dict(run) for run in self._active.values()],
                "last_runs": list(self._ended.values()),
                "last_verdicts": list(self._verdicts.values()),
                "present": [],
                "present_count": 0,
            }
        )
        self.begun.append({key: list(runs) for key, runs in self._begun.items()})
        self.verdicts.append(
            {
                proposal_id: (run["run_id"], run["verdict"], run["revision"]["digest"])
                for proposal_id, run in self._verdicts.items()
            }
        )

    def _propose(self) -> None:
        proposal_id = self.chance.choice(self.ids)
        if proposal_id in self._proposals:
            return
        proposal = {
            "id": proposal_id, "title": "T", "author": "ada", "reviewers": [],
            "status": "draft", "version": self._removed.get(proposal_id, 0) + 1,
            "updated_at": "then", "created_at": f"at {len(self.events)}",
        }  # fmt: skip
        self._proposals[proposal_id] = proposal
        self._append("proposal_created", proposal_id=proposal_id, proposal=proposal)
        self._note()

    def _change(self) -> None:
        if not self._proposals:
            return
        known = self.chance.choice(list(self._proposals.values()))
        version, now = known["version"] + 1, f"at {len(self.events)}"
        if self.chance.random() < 0.5:
            status = self.chance.choice(STATUSES)
            changed = {**known, "status": status, "version": version, "updated_at": now}
            self._append(
                "status_changed", proposal_id=known["id"], to=status, version=version,
                updated_at=now,
            )  # fmt: skip
        else:
            changed = {**known, "title": now, "version": version}
            self._append("proposal_updated", proposal_id=known["id"], proposal=changed)
        self._proposals[known["id"]] = changed
        self._note()

    def _remove(self) -> None:
        if not self._proposals:
            return
        proposal_id = self.chance.choice(list(self._proposals))
        version = self._proposals.pop(proposal_id)["version"] + 1
        self._removed[proposal_id] = version
        active = [(key, run) for key, run in self._active.items() if key[0] == proposal_id]
        for kind in KINDS:
            self._begun.pop((proposal_id, kind), None)
            self._ended.pop((proposal_id, kind), None)
        self._verdicts.pop(proposal_id, None)
        self.strays.update(run["run_id"] for _, run in active)
        self._append("proposal_deleted", proposal_id=proposal_id, version=version)
        self._note()
        for key, run in active:  # they are cancelled, and say so
            del self._active[key]
            self._about(key, run, ENDS[key[1]][2])

    def _lock_or_unlock(self) -> None:
        lock = {"by": "ben", "reason": "r", "at": f"at {len(self.events)}"}
        self._lock = None if self._lock else lock
        self._append("lock_changed", locked=self._lock is not None, **lock)
        self._note()

    def _publish(self) -> None:
        """Something of a type that no page knows."""
        self._append(self.chance.choice(self.ids), data=1)
        self._note()

    def _run(self) -> None:
        """One step of a run of some proposal."""
        if not self._proposals:
            return
        key = self.chance.choice(list(self._proposals)), self.chance.choice(KINDS)
        run = self._active.get(key)
        if run is None:
            self._begin(key, self._new_id(), queued=self.chance.random() < 0.3)
        elif run["state"] == "queued" and self.chance.random() < 0.7:
            self._begin(key, run["run_id"], queued=False)
        elif self.chance.random() < 0.4:
            del self._active[key]
            self._end(key, run, self.chance.choice(ENDS[key[1]]))
        elif run["state"] == "running":
            self._about(key, run, PIECES[key[1]], line="l", content="l", n=len(self.events))

    def _end(self, key: tuple[str, str], run: Frame, type_: str) -> None:
        """End a run, which its proposal keeps as its last one."""
        state = {"error": "error", "cancelled": "cancelled"}.get(type_.rpartition("_")[2])
        ended: Frame = {**run, "ended_at": _moment(len(self.events) + 1)}
        fields: Frame = {}
        if state is None:
            verdict = self.chance.choice(["passed", "failed"])
            revision = {"number": 1, "digest": f"sha256:{len(self.events)}", "at": "then"}
            of_iteration = key[1] == "iteration"
            state = "completed" if of_iteration else verdict
            ended |= {"verdict": verdict, "revision": revision}
            fields = {"validation": {"status": verdict}} if of_iteration else {"status": verdict}
            fields["revision"] = revision
        self._ended[key] = ended | {"state": state}
        if "verdict" in ended:
            self._verdicts[key[0]] = self._ended[key]
        self._about(key, run, type_, **fields)

    def _new_id(self) -> str:
        if self._runs < len(self.ids):
            self._runs += 1
            return self.ids[self._runs - 1]
        self._runs += 1
        # Ids say nothing about the order.
        return f"{self.chance.randrange(16**8):08x}{self._runs}"

    def _begin(self, key: tuple[str, str], run_id: str, *, queued: bool) -> None:
        run = {
            "run_id": run_id, "kind": key[1], "proposal_id": key[0], "started_by": "ada",
            "started_at": "then", "state": "queued" if queued else "running",
            "replay_from": _position(len(self.events)),
        }  # fmt: skip
        self._active.pop(key, None)
        self._active[key] = run
        known = self._begun.setdefault(key, [])
        if run_id not in known:
            known.append(run_id)
        self._about(key, run, "run_queued" if queued else f"{key[1]}_start", place=1)

    def _about(self, key: tuple[str, str], run: Frame, type_: str, **fields: Any) -> None:
        more = {"kind": key[1]} if type_ == "run_queued" else {}
        self._append(type_, proposal_id=key[0], run_id=run["run_id"], **fields, **more)
        self._note()


def _moment(seq: int) -> str:
    return f"2026-01-01T00:{seq // 60:02}:{seq % 60:02}.000Z"


def _position(seq: int) -> str:
    return f"e-{seq}"


def walk(server: Server) -> list[Frame]:
    """What a page may live through on a server: each step is a thing that its client does.

    It fetches a snapshot and some history before it, follows, loses the connection, has a gap, and
    fetches snapshots that are older than what it knows by the time they come.
    """
    chance = server.chance
    end = len(server.events)
    here = chance.randrange(end)
    read_at = min(end, here + chance.randrange(3))
    first = server.snapshot(here, read_at=read_at)
    steps: list[Frame] = [{"do": "snapshot", "of": first, "read_at": read_at}]
    history = server.events[max(0, here - chance.choice([0, 5, 40])) : here]
    steps.append({"do": "history", "events": history, "of": first})
    while here < end:
        what = chance.random()
        if what < 0.7:
            until = min(end, here + chance.randrange(1, 8))
            steps.append({"do": "events", "events": server.events[here:until]})
            here = until
        elif what < 0.8:
            # Some events, and then a gap: what it may have missed is in a snapshot.
            here = min(end, here + chance.randrange(1, 12))
            steps.append({"do": "snapshot", "of": server.snapshot(here)})
        elif what < 0.9:
            asked = max(0, here - chance.randrange(4))
            steps.append({"do": "snapshot", "of": server.snapshot(asked)})
        else:
            welcome = {**server.snapshot(here), "type": "welcome"}
            steps.append({"do": "welcome", "of": welcome})
    return steps
