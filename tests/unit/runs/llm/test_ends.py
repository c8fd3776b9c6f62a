"""Finish reasons, and what follows from each."""

import pytest

from rtserver.runs.llm.ends import ENDS, EndKind, end_of


def test_the_table_is_whole() -> None:
    for reason, end in ENDS.items():
        assert end_of(reason) is end
        assert end_of(reason.upper()) is end
        assert end.reason == reason == reason.lower().strip()
        assert end.server
        assert end.meaning.split()[0].islower()
    assert {end.kind for end in ENDS.values()} == set(EndKind) - {EndKind.UNKNOWN}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop", EndKind.GOOD),
        (" Stop\n", EndKind.GOOD),
        ("STOP", EndKind.GOOD),
        ("FinishReason.STOP", EndKind.GOOD),
        ("end-turn", EndKind.GOOD),
        ("stop sequence", EndKind.GOOD),
        ("COMPLETE", EndKind.GOOD),
        ("length", EndKind.CUT),
        ("MAX_TOKENS", EndKind.CUT),
        ("model_length", EndKind.CUT),
        ("pause_turn", EndKind.CUT),
        ("content_filter: SAFETY", EndKind.FILTERED),
        ("SAFETY", EndKind.FILTERED),
        ("refusal", EndKind.FILTERED),
        ("abort", EndKind.FAILED),
        ("error", EndKind.FAILED),
        ("error: out of memory", EndKind.FAILED),
        ("insufficient_system_resource", EndKind.FAILED),
        ("tool_calls", EndKind.TOOLS),
        ("function_call", EndKind.TOOLS),
        (None, EndKind.NONE),
        ("", EndKind.NONE),
        ("  ", EndKind.NONE),
        ("null", EndKind.NONE),
        ("None", EndKind.NONE),
        ("not_finished", EndKind.NONE),
        (False, EndKind.NONE),
        (0, EndKind.NONE),
        ({}, EndKind.NONE),
        ("banana", EndKind.UNKNOWN),
        ("stop: length", EndKind.UNKNOWN),
        ("null: x", EndKind.UNKNOWN),
        (":", EndKind.UNKNOWN),
        ("x.", EndKind.UNKNOWN),
        ("stop.", EndKind.UNKNOWN),
        (5, EndKind.UNKNOWN),
        (True, EndKind.UNKNOWN),
        (["stop"], EndKind.UNKNOWN),
        ("x" * 100_000, EndKind.UNKNOWN),
    ],
)
def test_what_servers_write(reason: object, kind: EndKind) -> None:
    end = end_of(reason)
    assert end.kind == kind
    assert len(str(end)) < 200
    assert str(end).isprintable()
