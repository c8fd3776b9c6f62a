import pytest

from rtserver.model.identity import Claims, ClaimsError, Identity, Role

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("projects", "roles", "opens"),
    [
        ((), (), {"a": False, "b": False}),
        (("a",), (), {"a": True, "b": False, "A": False, "": False, "*": False}),
        (("*",), (), {"a": True, "b": True}),
        ((), ("admin",), {"a": True, "b": True}),
        (("a",), ("service",), {"a": True, "b": False}),
    ],
)
def test_who_may_open_which_project(
    projects: tuple[str, ...], roles: tuple[str, ...], opens: dict[str, bool]
) -> None:
    identity = Identity("ada", "Ada", frozenset(projects), frozenset(roles), NOW_S)
    assert {project: identity.may_open(project) for project in opens} == opens
    assert identity.is_admin == ("admin" in roles)
    assert identity.is_service == ("service" in roles)


def test_an_identity_does_not_change() -> None:
    identity = Identity("ada", "Ada", frozenset(), frozenset(), NOW_S)
    with pytest.raises(AttributeError):
        identity.roles = frozenset({"admin"})  # type: ignore[misc]


def test_claims_are_read_without_a_clock() -> None:
    read = Claims.from_payload({"sub": "ada", "exp": 5, "roles": ["admin", "nobody"]})
    assert read.to_identity(leeway_s=2).expires_at == 7
    assert read.to_identity().roles == {Role.ADMIN}
    with pytest.raises(ClaimsError):
        Claims.from_payload({"sub": "ada"})
