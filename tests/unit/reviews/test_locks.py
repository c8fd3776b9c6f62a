"""Locks as their service decides on them; what MongoDB does for it is in the store's tests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rtserver.model.errors import InvalidError
from rtserver.model.events import EventDraft
from rtserver.model.identity import Identity, Role
from rtserver.model.moments import present_moment
from rtserver.reviews.locks import (
    MAX_LEASE_S,
    MIN_LEASE_S,
    Lock,
    LockedError,
    LockService,
    NotHeldError,
)
from tests.support.lease_trust import ScriptedTrust


def user(name: str, *roles: Role) -> Identity:
    """A user who may open every project."""
    return Identity(name, name.title(), frozenset({"*"}), frozenset(roles), 2e9)


ADA, BEN, ROOT = user("ada"), user("ben"), user("root", Role.ADMIN)


class Locks:
    """Locks of one worker; see `rtserver.reviews.locks.LockStore`.

    Attributes:
        told: the events that went with changes, by what they say.
    """

    def __init__(self) -> None:
        self.held: dict[str, Lock] = {}
        self.told: list[dict[str, Any]] = []
        self.expired: list[str] = []
        self.trust = ScriptedTrust()
        self.service = LockService(
            self,
            lease_s=120,
            trust=self.trust,
            records=self,
        )

    def lock_expired(self, lock: Lock) -> None:
        self.expired.append(lock.by)

    async def get(self, project_id: str) -> Lock | None:
        return self.held.get(project_id)

    async def renew(
        self, project_id: str, by: str, reason: str | None, lease_s: float
    ) -> Lock | None:
        lock = self.held.get(project_id)
        if lock is None or lock.by != by or reason not in (None, lock.reason):
            return None
        return self._keep(lock, lease_s)

    async def take(
        self, lock: Lock, lease_s: float, changed: EventDraft, *, from_self: bool = False
    ) -> Lock | None:
        held = self.held.get(lock.project_id)
        if held is not None and not (from_self and held.by == lock.by):
            return None
        self.told.append(dict(changed.fields))
        return self._keep(lock, lease_s)

    def _keep(self, lock: Lock, lease_s: float) -> Lock:
        kept = replace(lock, expires_at=present_moment() + timedelta(seconds=lease_s), lapsed=False)
        self.held[lock.project_id] = kept
        return kept

    async def end(self, lock: Lock, changed: EventDraft, *, only_lapsed: bool) -> bool:
        held = self.held.get(lock.project_id)
        if held is None or held.by != lock.by or (only_lapsed and not held.lapsed):
            return False
        del self.held[lock.project_id]
        self.told.append(dict(changed.fields))
        return True

    async def lapsed(self) -> list[Lock]:
        return [lock for lock in self.held.values() if lock.lapsed]

    def lapse(self) -> None:
        """Let the lease of the project's lock run out."""
        self.held["p1"] = replace(self.held["p1"], lapsed=True)


@pytest.mark.gen_test
async def test_a_lock_keeps_others_out_and_its_holder_in() -> None:
    locks = Locks()
    await locks.service.check("p1", BEN)
    await locks.service.acquire(ADA, "p1", "Reworking", None)
    await locks.service.check("p1", ADA)
    with pytest.raises(LockedError) as refused:
        await locks.service.check("p1", BEN)
    assert refused.value.details["lock"]["by"] == "ada"
    with pytest.raises(LockedError):
        await locks.service.acquire(BEN, "p1", None, None)
    assert [event["by"] for event in locks.told] == ["ada"]


@pytest.mark.gen_test
async def test_renewing_tells_nobody_and_another_reason_does() -> None:
    locks = Locks()
    first = await locks.service.acquire(ADA, "p1", "Reworking", 60)
    again = await locks.service.acquire(ADA, "p1", None, 600)
    assert again.expires_at > first.expires_at
    assert again.reason == "Reworking"
    assert len(locks.told) == 1
    await locks.service.acquire(ADA, "p1", "Proof-reading", None)
    assert [event["reason"] for event in locks.told] == ["Reworking", "Proof-reading"]


@pytest.mark.gen_test
async def test_a_lapsed_lock_is_ended_for_the_next_and_told_once() -> None:
    locks = Locks()
    await locks.service.acquire(ADA, "p1", "Reworking", None)
    locks.lapse()
    await locks.service.check("p1", BEN)
    taken = await locks.service.acquire(BEN, "p1", None, None)
    assert taken.by == "ben"
    assert locks.expired == ["ada"]
    assert [event.get("cause") for event in locks.told] == [None, "expired", None]


@pytest.mark.gen_test
async def test_after_an_outage_a_lapsed_lock_is_its_holder_s_until_they_could_renew_it() -> None:
    """Its page could not renew it either: it must not be lost to who asks first."""
    locks = Locks()
    await locks.service.acquire(ADA, "p1", "Reworking", None)
    locks.lapse()
    locks.trust.outage()
    for attempt in (
        locks.service.check("p1", BEN),
        locks.service.acquire(BEN, "p1", None, None),
        locks.service.renew(BEN, "p1", None),
        locks.service.release(BEN, "p1"),
    ):
        with pytest.raises(LockedError):
            await attempt
    await locks.service.renew(ADA, "p1", None)
    locks.trust.over()
    with pytest.raises(LockedError):
        await locks.service.acquire(BEN, "p1", None, None)
    assert locks.expired == []


@pytest.mark.gen_test
async def test_what_has_ended_is_not_renewed_but_taken() -> None:
    locks = Locks()
    with pytest.raises(NotHeldError):
        await locks.service.renew(ADA, "p1", None)
    await locks.service.acquire(BEN, "p1", None, None)
    with pytest.raises(LockedError):
        await locks.service.renew(ADA, "p1", None)
    locks.lapse()
    with pytest.raises(NotHeldError):
        await locks.service.renew(ADA, "p1", None)


@pytest.mark.gen_test
async def test_its_holder_or_an_admin_releases_a_lock() -> None:
    locks = Locks()
    await locks.service.release(ADA, "p1")
    assert locks.told == []
    for releasing in (ADA, ROOT):
        await locks.service.acquire(ADA, "p1", None, None)
        with pytest.raises(LockedError):
            await locks.service.release(BEN, "p1")
        await locks.service.release(releasing, "p1")
        assert locks.held == {}
        assert locks.told[-1]["cause"] == "released"
        assert locks.told[-1]["actor"] == releasing.user_id
    await locks.service.acquire(ADA, "p1", None, None)
    locks.lapse()
    await locks.service.release(BEN, "p1")
    assert locks.held == {}
    assert locks.told[-1]["cause"] == "expired"


@pytest.mark.parametrize("lease_s", [0, MIN_LEASE_S - 1, MAX_LEASE_S + 1])
@pytest.mark.gen_test
async def test_a_lease_has_its_bounds(lease_s: float) -> None:
    locks = Locks()
    with pytest.raises(InvalidError):
        await locks.service.acquire(ADA, "p1", None, lease_s)
    with pytest.raises(InvalidError):
        await locks.service.renew(ADA, "p1", lease_s)
    assert locks.service.lease_of(None) == 120
