import pytest

from rtserver.model.audience import (
    WHOLE_PROJECT,
    WORKERS,
    Audience,
    AudienceKind,
    members_of,
    only_users,
    viewers_of,
)
from rtserver.model.visibility import MemberTable, Viewer, visible

EVERYTHING = Viewer("ada")
NARROWED = Viewer("ada", frozenset({"p"}))
ELSEWHERE = Viewer("ada", frozenset({"q"}))


def _members(proposal_id: str) -> frozenset[str]:
    return {"p": frozenset({"ada", "ben"})}.get(proposal_id, frozenset())


@pytest.mark.parametrize(
    ("audience", "seen"),
    [
        (WHOLE_PROJECT, (True, True, True)),
        (viewers_of("p"), (True, True, False)),
        (members_of("p", frozenset({"ada", "ben"})), (True, True, True)),
        (members_of("p", frozenset({"ben"})), (False, False, False)),  # ada was added later
        (members_of("q", frozenset({"ada", "ben"})), (False, False, False)),  # ada was removed
        (only_users(frozenset({"ada"})), (True, True, True)),
        (only_users(frozenset({"ben"})), (False, False, False)),
        (only_users(frozenset()), (False, False, False)),
        (WORKERS, (False, False, False)),
    ],
)
def test_who_sees_what(audience: Audience, seen: tuple[bool, ...]) -> None:
    viewers = (EVERYTHING, NARROWED, ELSEWHERE)
    assert tuple(visible(audience, viewer, _members) for viewer in viewers) == seen


def test_every_kind_of_audience_is_decided() -> None:
    for kind in AudienceKind:
        audience = Audience(kind, proposal_id="p", users=frozenset({"ada"}))
        assert visible(audience, EVERYTHING, _members) is (kind is not AudienceKind.WORKERS)


def test_a_project_without_proposals_has_no_members() -> None:
    audience = members_of("p", frozenset({"ada"}))
    assert not visible(audience, EVERYTHING, MemberTable().of)
