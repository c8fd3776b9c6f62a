"""Who may do what to a proposal: the table of docs/collaboration.md, and nothing else."""

from collections.abc import Callable

import pytest

from rtserver.model.errors import ForbiddenError
from rtserver.model.identity import Identity, Role
from rtserver.model.moments import present_moment
from rtserver.reviews import rights
from rtserver.reviews.proposals import NewProposal, Proposal, ProposalChanges
from rtserver.reviews.statuses import ProposalStatus

NOW = present_moment()
ROLES = {"svc": Role.SERVICE, "root": Role.ADMIN}
EVERYBODY = ("eve", "ben", "ada", "maker", "svc", "root")
STATUS = ProposalChanges(status=ProposalStatus.IN_REVIEW)

TABLE: dict[str, tuple[Callable[[Identity, Proposal], None], set[str]]] = {
    "make one known as approved": (
        lambda who, _: rights.check_creation(who, _new(ProposalStatus.APPROVED)),
        {"svc", "root"},
    ),
    "make one known otherwise": (
        lambda who, _: rights.check_creation(who, _new(ProposalStatus.IN_REVIEW)),
        set(EVERYBODY),
    ),
    "change the status": (
        lambda who, one: rights.check_change(who, one, STATUS),
        {"ben", "ada", "maker", "svc", "root"},
    ),
    "change more": (
        lambda who, one: rights.check_change(who, one, ProposalChanges(title="T")),
        {"ada", "maker", "svc", "root"},
    ),
    "change the text": (rights.check_text_change, {"ben", "ada", "maker", "svc", "root"}),
    "remove it": (rights.check_removal, {"ada", "maker", "root"}),
}


def _new(status: ProposalStatus) -> NewProposal:
    return NewProposal("p", "T", status=status)


def _user(user_id: str) -> Identity:
    roles = frozenset({ROLES[user_id]} if user_id in ROLES else ())
    return Identity(user_id, user_id, frozenset({"p1"}), roles, 0)


def _proposal(status: ProposalStatus = ProposalStatus.DRAFT) -> Proposal:
    return Proposal("p", "p1", "T", "ada", ["ben"], status, NOW, NOW, "maker")


@pytest.mark.parametrize("user_id", EVERYBODY)
@pytest.mark.parametrize("act", TABLE)
def test_who_may(act: str, user_id: str) -> None:
    check, allowed = TABLE[act]
    if user_id in allowed:
        check(_user(user_id), _proposal())
        return
    with pytest.raises(ForbiddenError):
        check(_user(user_id), _proposal())


@pytest.mark.parametrize("user_id", EVERYBODY)
def test_nobody_changes_an_archived_text(user_id: str) -> None:
    wanted = ForbiddenError if user_id == "eve" else rights.ArchivedError
    with pytest.raises(wanted):
        rights.check_text_change(_user(user_id), _proposal(ProposalStatus.ARCHIVED))
