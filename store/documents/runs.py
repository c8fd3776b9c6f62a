"""Runs in MongoDB. See `rtserver.runs.model` for what the fields mean.

_id run id, kind, project_id, proposal_id, owner, started_by, started_at, state, ended_at?,
replay_from?, cancel_by?, stage?, files?, result? (JSON text), verdict? (what a validation in it
said), revision? (the text that was judged), reason?, lease_until, active (only while under way),
outbox

How the last runs of a proposal ended is in the proposal's document, under `last_runs`: it is found
without a search, and stays when the runs themselves are gone in time.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from rtserver.model.events import EventDraft, EventType
from rtserver.model.run import RunKind, RunState
from rtserver.reviews.pages import PAGE_BYTES, Place
from rtserver.runs.model import LastRuns, Run, RunConflictError
from store.base.client import NEWEST_MS, Database, confirmed, core_errors, newest
from store.base.leases import lapsed, until
from store.base.pages import BATCH_DOCUMENTS, page_of
from store.base.relay import Before, OutboxRelay, waiting_event
from store.documents.proposals import LIVE, PROPOSALS
from store.documents.run_places import RunPlaces

RUNS = "runs"
VERDICT = "verdict"
BEGINNINGS = frozenset({EventType.VALIDATION_START, EventType.ITERATION_START})
KEPT_S = int(timedelta(days=30).total_seconds())
NOTED = (
    *("_id", "kind", "project_id", "proposal_id", "owner", "started_by", "started_at", "state"),
    *("ended_at", "replay_from", "verdict", "revision", "reason"),
)
"""The fields of a run that its proposal's document keeps."""


class MongoRuns:
    """`rtserver.runs.model.RunStore` on MongoDB. Lease times are the database's own."""

    def __init__(self, database: Database, relay: OutboxRelay, *, lease_s: float) -> None:
        self._runs = database[RUNS]
        self._confirmed = confirmed(database)[RUNS]
        self._proposals = confirmed(database)[PROPOSALS]
        self._newest = newest(database)[RUNS]
        self._relay = relay
        self._lease_s = lease_s
        self._places = RunPlaces(database, lease_s=lease_s)

    async def prepare(self) -> None:
        """Make the indexes: one run of a kind under way a proposal; what is over goes in time."""
        await self._places.prepare()
        # `active` is there only while a run is under way, so the index is small and unique.
        await self._runs.create_index(
            [("proposal_id", ASCENDING), ("kind", ASCENDING), ("active", ASCENDING)],
            unique=True,
            partialFilterExpression={"active": True},
            name="one_active",
        )
        await self._runs.create_index(
            [("project_id", ASCENDING), ("active", ASCENDING)],
            partialFilterExpression={"active": True},
            name="active_of_project",
        )
        await self._runs.create_index(
            [("proposal_id", ASCENDING), ("ended_at", DESCENDING)], name="of_proposal"
        )
        await self._runs.create_index(
            [("proposal_id", ASCENDING), ("started_at", DESCENDING), ("_id", DESCENDING)],
            name="of_proposal_newest_first",
        )
        await self._runs.create_index("ended_at", expireAfterSeconds=KEPT_S, name="expiry")

    @core_errors
    async def create(self, run: Run, started: EventDraft) -> None:
        """See `RunStore.create`."""
        # A run that waits has another first event, and so needs another key for it.
        first = "queued" if run.state is RunState.QUEUED else "start"
        document: dict[str, Any] = {
            "_id": run.run_id,
            "kind": run.kind.value,
            "project_id": run.project_id,
            "proposal_id": run.proposal_id,
            "owner": run.owner,
            "started_by": run.started_by,
            "started_at": run.started_at,
            "state": run.state.value,
            "replay_from": run.replay_from,
            "active": True,
            "outbox": [waiting_event(f"run:{run.run_id}:{first}", started)],
        }
        try:
            await self._runs.insert_one(document)
        except DuplicateKeyError:
            running = await self._runs.find_one(
                {"proposal_id": run.proposal_id, "kind": run.kind.value, "active": True}
            )
            if running is None:
                await self._runs.insert_one(document)  # it ended just now
            elif running["_id"] != run.run_id:
                raise RunConflictError(_run(running)) from None
            else:  # an attempt whose answer was lost: its event waits under the key of then
                document = await self._as_confirmed(run.run_id) or document
        # The lease is set by the database's clock, which an insert cannot name.
        await self._runs.update_one(
            {"_id": run.run_id}, [{"$set": {"lease_until": until(self._lease_s)}}]
        )
        await self._relay.try_relay(RUNS, document)

    @core_errors
    async def begin(self, run: Run, started: EventDraft) -> bool:
        """See `RunStore.begin`."""
        return await self._change(
            run,
            {"owner": run.owner, "active": True, "state": RunState.QUEUED.value},
            {"$set": {"state": RunState.RUNNING.value, "replay_from": run.replay_from}},
            waiting_event(f"run:{run.run_id}:start", started),
            made={"owner": run.owner, "active": True, "state": RunState.RUNNING.value},
        )

    @core_errors
    async def take_place(self, run: Run, limit: int) -> bool:
        """See `RunStore.take_place`."""
        return await self._places.take(run, limit)

    @core_errors
    async def release_place(self, run: Run) -> None:
        """See `RunStore.release_place`."""
        await self._places.release(run)

    @core_errors
    async def progress(self, run: Run, stage: str, files: Sequence[str]) -> bool:
        """See `RunStore.progress`."""
        document = await self._runs.find_one_and_update(
            {"_id": run.run_id, "active": True, "owner": run.owner},
            [
                {
                    "$set": {
                        "stage": {"$literal": stage},
                        "files": {"$literal": list(files)},
                        "lease_until": until(self._lease_s),
                    }
                }
            ],
        )
        return document is not None

    @core_errors
    async def last_validation(self, proposal_id: str) -> dict[str, Any] | None:
        """See `RunStore.last_validation`."""
        document = await self._confirmed.find_one(
            {
                "proposal_id": proposal_id,
                "$or": [
                    {"state": {"$in": [RunState.PASSED.value, RunState.FAILED.value]}},
                    {"verdict": {"$in": ["passed", "failed"]}},
                ],
            },
            {"result": 1},
            sort=[("ended_at", DESCENDING)],
        )
        if document is None:
            return None
        result = _result(document)
        validation: dict[str, Any] = result.get("validation", result)
        return validation

    @core_errors
    async def finish(
        self, run: Run, state: RunState, result: dict[str, Any], ended: EventDraft
    ) -> bool:
        """See `RunStore.finish`."""
        mine = {"owner": run.owner}
        made = {**mine, "state": state.value, "result": _text(result)}
        return await self._end(mine, run, state, result, ended, made=made)

    @core_errors
    async def lose(self, run: Run, result: dict[str, Any], ended: EventDraft) -> bool:
        """See `RunStore.lose`."""
        condition = {"$expr": lapsed("$lease_until")}
        return await self._end(condition, run, RunState.ERROR, result, ended, made=None)

    async def _end(
        self,
        condition: dict[str, Any],
        run: Run,
        state: RunState,
        result: dict[str, Any],
        ended: EventDraft,
        *,
        made: dict[str, Any] | None,
    ) -> bool:
        return await self._change(
            run,
            {"active": True, **condition},
            {
                "$set": {
                    "state": state.value,
                    "result": _text(result),
                    "verdict": result.get("validation", result).get("status"),
                    "revision": result.get("revision"),
                    "reason": result.get("reason") if state is RunState.ERROR else None,
                },
                "$currentDate": {"ended_at": True},
                "$unset": {"active": ""},
            },
            waiting_event(f"run:{run.run_id}:end", ended),
            made=made,
        )

    async def _as_confirmed(self, run_id: str, **fields: Any) -> dict[str, Any] | None:
        """A run as a majority has it, if it has these fields then."""
        found: dict[str, Any] | None = await self._newest.find_one(
            {"_id": run_id, **fields}, max_time_ms=NEWEST_MS
        )
        return found

    async def _change(
        self,
        run: Run,
        condition: dict[str, Any],
        change: dict[str, Any],
        event: dict[str, Any],
        *,
        made: dict[str, Any] | None,
    ) -> bool:
        """Change a run together with its event; whether it is as it was to be.

        Args:
            run: which.
            condition: what has to be so for the change.
            change: the update.
            event: waits in the outbox from then on.
            made: what is so where an attempt succeeded whose answer was lost; None where nobody
                tries again.
        """
        document = await self._runs.find_one_and_update(
            {"_id": run.run_id, **condition},
            {**change, "$push": {"outbox": event}},
            return_document=ReturnDocument.AFTER,
        )
        if document is None and made is not None:
            document = await self._as_confirmed(run.run_id, **made)
        if document is None:
            return False
        await self._relay.try_relay(RUNS, document)
        return True

    @core_errors
    async def get(self, run_id: str) -> Run | None:
        """See `RunStore.get`."""
        document = await self._confirmed.find_one({"_id": run_id})
        return None if document is None else _run(document)

    @core_errors
    async def of_proposal(
        self, proposal_id: str, *, after: Place | None, limit: int
    ) -> tuple[list[Run], bool]:
        """See `RunStore.of_proposal`."""
        wanted: dict[str, Any] = {"proposal_id": proposal_id}
        if after is not None:
            wanted["started_at"] = {"$lte": after.moment}
            wanted["$nor"] = [{"started_at": after.moment, "_id": {"$gte": after.id}}]
        cursor = self._confirmed.find(wanted, {"result": 0, "outbox": 0, "files": 0})
        cursor = cursor.sort([("started_at", DESCENDING), ("_id", DESCENDING)])
        return await page_of(cursor, _run, limit=limit, max_bytes=PAGE_BYTES)

    @core_errors
    async def last_of(self, proposal_ids: Sequence[str]) -> LastRuns:
        """See `RunStore.last_of`."""
        last = LastRuns()
        cursor = self._proposals.find(
            {"_id": {"$in": list(proposal_ids)}, "last_runs": {"$exists": True}}, {"last_runs": 1}
        ).batch_size(BATCH_DOCUMENTS)
        found = {document["_id"]: document["last_runs"] async for document in cursor}
        for proposal_id in proposal_ids:
            for slot, document in sorted(found.get(proposal_id, {}).items()):
                of_slot = last.verdicts if slot == VERDICT else last.runs
                of_slot.append(_run(document).to_summary())
        return last

    @core_errors
    async def renew(self, runs: Sequence[Run], owner: str) -> list[Run]:
        """See `RunStore.renew`."""
        ids = [run.run_id for run in runs]
        mine = {"_id": {"$in": ids}, "active": True, "owner": owner}
        await self._runs.update_many(mine, [{"$set": {"lease_until": until(self._lease_s)}}])
        await self._places.renew(runs)
        return [_run(document) async for document in self._confirmed.find(mine)]

    @core_errors
    async def ask_cancel(self, run_id: str, by: str) -> None:
        """See `RunStore.ask_cancel`."""
        await self._runs.update_one({"_id": run_id, "active": True}, {"$set": {"cancel_by": by}})

    @core_errors
    async def active(self, project_id: str) -> list[Run]:
        """See `RunStore.active`."""
        cursor = self._confirmed.find({"project_id": project_id, "active": True})
        cursor = cursor.sort("started_at", 1)
        runs = [_run(document) async for document in cursor]
        queued = (run for run in runs if run.state is RunState.QUEUED)
        for place, run in enumerate(queued, start=1):
            run.place = place
        return runs

    @core_errors
    async def lapsed(self) -> list[Run]:
        """See `RunStore.lapsed`. A run whose creator died before the lease was set counts too."""
        unset = {"$add": ["$started_at", int(self._lease_s * 1000)]}
        end = {"$ifNull": ["$lease_until", unset]}
        cursor = self._confirmed.find({"active": True, "$expr": lapsed(end)})
        return [_run(document) async for document in cursor]


def _text(result: dict[str, Any]) -> str:
    """The stored form: JSON, since BSON bounds depth, numbers and keys in other ways."""
    return msgspec.json.encode(result).decode()


def _result(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("result")
    result: dict[str, Any] = msgspec.json.decode(found) if isinstance(found, str) else found or {}
    return result


async def note_last_run(
    database: Database, document: dict[str, Any], _entry: dict[str, Any]
) -> None:
    """Before it is told that a run has ended, note that with its proposal.

    See `store.base.relay.Before`. Whoever has read an event that tells of the end finds it noted.
    """
    if "ended_at" not in document:
        return
    noted = {name: document[name] for name in NOTED if name in document}
    slots = [document["kind"]]
    if document.get("verdict") in ("passed", "failed"):
        slots.append(VERDICT)
    for slot in slots:
        path = f"last_runs.{slot}"
        older = {"$or": [{path: None}, {f"{path}.ended_at": {"$lt": document["ended_at"]}}]}
        await database[PROPOSALS].update_one(
            {"_id": document["proposal_id"], **LIVE, **older}, {"$set": {path: noted}}
        )


def telling_in_order(relay: Callable[[], OutboxRelay]) -> Before:
    """What is done before an event of a run is told; see `store.base.relay.Before`.

    Its end is noted with its proposal. And before a run is told to have begun, the ends of earlier
    ones of its kind are told: they are in other documents, may be relayed by other workers, and who
    follows the log would see two under way.

    Args:
        relay: gives the relay that this is for.
    """

    async def before(database: Database, document: dict[str, Any], entry: dict[str, Any]) -> None:
        await note_last_run(database, document, entry)
        if entry["type"] not in BEGINNINGS:
            return
        waiting = confirmed(database)[RUNS].find(
            {
                "outbox.key": {"$exists": True},
                "proposal_id": document["proposal_id"],
                "kind": document["kind"],
                "active": {"$exists": False},
                "started_at": {"$lt": document["started_at"]},
            }
        )
        async for earlier in waiting.sort("started_at", ASCENDING):
            await relay().relay(RUNS, earlier)

    return before


def _run(document: dict[str, Any]) -> Run:
    return Run(
        run_id=document["_id"],
        kind=RunKind(document["kind"]),
        project_id=document["project_id"],
        proposal_id=document["proposal_id"],
        owner=document["owner"],
        started_by=document["started_by"],
        started_at=document["started_at"],
        state=RunState(document["state"]),
        ended_at=document.get("ended_at"),
        replay_from=document.get("replay_from"),
        cancel_by=document.get("cancel_by"),
        stage=document.get("stage"),
        files=document.get("files") or [],
        result=_result(document),
        verdict=document.get("verdict"),
        revision=document.get("revision"),
        reason=document.get("reason"),
    )
