import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.audit.live.fanout import FilterIndex
from rtserver.audit.live.filter import EVERYTHING, AuditFilter, RecordView
from rtserver.audit.record.actions import Action, Outcome
from rtserver.model.errors import InvalidError

VIEWS = [
    RecordView(action, outcome, ts, actor, project, target)
    for action, outcome, ts, actor, project, target in itertools.product(
        ("lock.acquired", "lock.released", "connection.opened", "later.added"),
        ("allowed", "denied"),
        ("2026-01-31T14:00:00.000Z", "2026-01-31T15:00:00.000Z"),
        (None, "ada"),
        (None, "p1"),
        ("t1", "t2"),
    )
]


def _wanted(wanted: AuditFilter) -> set[int]:
    return {index for index, view in enumerate(VIEWS) if wanted.wants(view)}


@pytest.mark.parametrize(
    ("given_", "field", "values"),
    [
        ({"actor": ["ada"]}, "actor", {"ada"}),
        ({"project_id": ["p1"]}, "project_id", {"p1"}),
        ({"target": ["t2"]}, "target", {"t2"}),
        ({"outcome": ["denied"]}, "outcome", {"denied"}),
        ({"action": ["lock.acquired"]}, "action", {"lock.acquired"}),
        ({"action": ["lock.*"]}, "action", {"lock.acquired", "lock.released"}),
        (
            {"action": ["lock.released", "connection.*"]},
            "action",
            {"lock.released", "connection.opened"},
        ),
        ({"since": ["2026-01-31T14:30:00Z"]}, "ts", {"2026-01-31T15:00:00.000Z"}),
        ({"until": ["2026-01-31T15:00:00Z"]}, "ts", {"2026-01-31T14:00:00.000Z"}),
    ],
)
def test_each_condition_lets_through_what_it_says(
    given_: dict[str, list[str]], field: str, values: set[str]
) -> None:
    expected = {index for index, view in enumerate(VIEWS) if getattr(view, field) in values}
    assert _wanted(AuditFilter.make(given_)) == expected


def test_all_conditions_have_to_be_met() -> None:
    both = AuditFilter.make({"actor": ["ada"], "outcome": ["denied"]})
    actor, outcome = (
        AuditFilter.make({"actor": ["ada"]}),
        AuditFilter.make({"outcome": ["denied"]}),
    )
    assert _wanted(both) == _wanted(actor) & _wanted(outcome)


def test_an_empty_filter_and_a_star_want_everything() -> None:
    assert AuditFilter.make({}) == AuditFilter.make({"action": ["*"]}) == EVERYTHING
    assert AuditFilter.make({"action": ["lock.*", "*"]}) == EVERYTHING
    assert _wanted(EVERYTHING) == set(range(len(VIEWS)))


def test_since_is_compared_as_a_moment_whatever_its_zone() -> None:
    berlin = AuditFilter.make({"since": ["2026-01-31T16:00:00+01:00"]})
    utc = AuditFilter.make({"since": ["2026-01-31t15:00:00.000z"]})
    assert berlin == utc
    assert berlin.since == "2026-01-31T15:00:00.000Z"


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        ({"acton": ["x"]}, "'acton'; did you mean action?"),
        ({"action": ["lock.aquired"]}, "'lock.aquired'; did you mean lock.acquired?"),
        ({"action": ["conection.*"]}, "'conection.*'; did you mean connection.*?"),
        ({"action": ["*.opened"]}, "* stands at the end"),
        ({"action": [""]}, "There is no action ''"),
        ({"action": ["lock.*"] * 51}, "50 times"),
        ({"outcome": ["permitted"]}, "outcome is one of allowed, denied, failed"),
        ({"since": ["yesterday"]}, "since takes a time such as"),
        ({"until": ["tomorrow"]}, "until takes a time such as"),
        ({"since": ["2026-01-31"]}, "since takes a time such as"),
        ({"since": ["2026-01-31T14:00:00"]}, "since takes a time such as"),
        ({"since": ["2026-13-31T14:00:00Z"]}, "since takes a time such as"),
        ({"since": ["0001-01-01T00:00:00+23:59"]}, "since takes a time such as"),
        ({"actor": ["ada", "ben"]}, "actor can be given once"),
        ({"actor": [""]}, "actor takes 1 to 256"),
        ({"target": ["x" * 257]}, "target takes 1 to 256"),
        ({"project_id": ["../etc"]}, "project_id: "),
    ],
)
def test_a_mistake_is_named(mistake: dict[str, list[str]], named: str) -> None:
    with pytest.raises(InvalidError) as raised:
        AuditFilter.make(mistake)
    assert named in str(raised.value)


@pytest.mark.parametrize("action", list(Action))
def test_every_action_can_be_asked_for(action: Action) -> None:
    assert AuditFilter.make({"action": [action.value]}).wants_action(action.value)
    group = action.value.partition(".")[0]
    assert AuditFilter.make({"action": [f"{group}.*"]}).wants_action(action.value)


def test_what_clients_see_makes_the_same_filter_again() -> None:
    wanted = AuditFilter.make(
        {
            "action": ["lock.*", "token.refused"],
            "actor": ["ada"],
            "project_id": ["p1"],
            "target": ["t"],
            "outcome": ["failed"],
            "since": ["2026-01-31T16:00:00+01:00"],
        }
    )
    shown: dict[str, Any] = dict(wanted.to_json())
    again = {name: value if isinstance(value, list) else [value] for name, value in shown.items()}
    assert AuditFilter.make(again) == wanted


_FILTERS = st.builds(
    AuditFilter,
    actions=st.sampled_from([(), ("lock.*",), ("lock.acquired",), ("connection.opened", "lo*")]),
    actor=st.sampled_from([None, "ada", "ben"]),
    project_id=st.sampled_from([None, "p1"]),
    target=st.sampled_from([None, "t1"]),
    outcome=st.sampled_from([None, *(outcome.value for outcome in Outcome)]),
    since=st.sampled_from([None, "2026-01-31T14:30:00.000Z"]),
)


@given(st.lists(_FILTERS, max_size=12))
def test_the_index_selects_exactly_those_that_want_a_record(filters: list[AuditFilter]) -> None:
    index = FilterIndex(filters)
    for view in VIEWS:
        selected = index.select(view)
        assert sorted(selected) == [
            number for number, wanted in enumerate(filters) if wanted.wants(view)
        ]
