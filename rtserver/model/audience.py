"""Audiences: whom an event is for."""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class AudienceKind(enum.StrEnum):
    """Who may see an event."""

    PROJECT = "project"
    PROPOSAL = "proposal"
    MEMBERS = "members"
    USERS = "users"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may see an event, as data that is stored with it.

    Attributes:
        kind: `project`: everyone in the project; `proposal`: who views `proposal_id`, and `users`;
            `members`: author and reviewers of `proposal_id`: who was one of them when the event was
            made, which is `users`, and still is at the time of delivery; `users`: exactly `users`;
            `workers`: no client, only the server's own workers.
        proposal_id: set for `proposal` and `members`.
        users: set for `users` and `members`, and for `proposal` where it is for some besides.
    """

    kind: AudienceKind
    proposal_id: str | None = None
    users: frozenset[str] = frozenset()

    def to_document(self) -> dict[str, Any] | None:
        """The stored form; None for the whole project, which is the common case."""
        match self.kind:
            case AudienceKind.PROJECT:
                return None
            case AudienceKind.PROPOSAL:
                document: dict[str, Any] = {
                    "kind": self.kind.value,
                    "proposal_id": self.proposal_id,
                }
                if self.users:
                    document["users"] = sorted(self.users)
                return document
            case AudienceKind.MEMBERS:
                return {
                    "kind": self.kind.value,
                    "proposal_id": self.proposal_id,
                    "users": sorted(self.users),
                }
            case AudienceKind.USERS:
                return {"kind": self.kind.value, "users": sorted(self.users)}
            case AudienceKind.WORKERS:
                return {"kind": self.kind.value}

    @staticmethod
    def from_document(document: Mapping[str, Any] | None) -> "Audience":
        """The inverse of `to_document`."""
        if document is None:
            return WHOLE_PROJECT
        kind = document["kind"]
        if kind == AudienceKind.PROPOSAL and not document.get("users"):
            return viewers_of(document["proposal_id"])
        return Audience(
            AudienceKind(kind),
            proposal_id=document.get("proposal_id"),
            users=frozenset(document.get("users", ())),
        )


WHOLE_PROJECT = Audience(AudienceKind.PROJECT)
WORKERS = Audience(AudienceKind.WORKERS)


@functools.lru_cache(maxsize=4096)
def viewers_of(proposal_id: str) -> Audience:
    """The audience of everyone who views a proposal (one shared object a proposal)."""
    return Audience(AudienceKind.PROPOSAL, proposal_id=proposal_id)


def viewers_and(proposal_id: str, users: frozenset[str]) -> Audience:
    """The audience of everyone who views a proposal, and of the named users."""
    return Audience(AudienceKind.PROPOSAL, proposal_id=proposal_id, users=users)


def members_of(proposal_id: str, users: frozenset[str]) -> Audience:
    """The audience of a proposal's author and reviewers, who at present are `users`."""
    return Audience(AudienceKind.MEMBERS, proposal_id=proposal_id, users=users)


def only_users(users: frozenset[str]) -> Audience:
    """The audience of the named users."""
    return Audience(AudienceKind.USERS, users=users)
