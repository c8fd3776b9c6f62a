"""What the simulation finds: nothing in the code as it is, and its former faults put back."""

import pytest

from tests.simulation import mutants
from tests.simulation.mutants import Mutant
from tests.simulation.world import World, act, simulated_time
from tests.support.recorder import LogRecorder
from tests.support.warp import run

FIND_WITHIN = 120


def wrong_with(seed: int) -> list[str]:
    async def play() -> list[str]:
        return await World(seed).play(what=act)

    with simulated_time(seed):
        return run(play())


@pytest.mark.parametrize(
    "seeds", [range(1, 4), pytest.param(range(4, 1000), marks=pytest.mark.soak)]
)
def test_all_is_right_when_faults_are_over(seeds: range) -> None:
    assert {seed: wrong for seed in seeds if (wrong := wrong_with(seed))} == {}


@pytest.mark.parametrize(
    ("mutant", "first"),
    [
        (mutants.the_sweep_tells_what_no_majority_has, 19),
        (mutants.nothing_keeps_output_from_following_the_end, 3),
        (mutants.who_lost_a_place_goes_on, 3),
        (mutants.a_second_answer_is_read_like_the_first, 10),
        (mutants.a_cursor_stands_on_nothing, 2),
        (mutants.what_a_primary_shows_is_told, 4),
        (mutants.a_stale_primary_knows_the_head, 1),
        (mutants.who_catches_up_is_live_at_once, 5),
        (mutants.only_what_was_overwritten_counts_as_lost, 1),
        pytest.param(mutants.an_insert_goes_to_whoever_is_primary, 25, marks=pytest.mark.soak),
        pytest.param(mutants.a_pack_is_known_by_its_identity, 25, marks=pytest.mark.soak),
    ],
)
def test_a_former_fault_is_found(
    mutant: Mutant, first: int, monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
) -> None:
    logs.expect("log_lost", "log_went_back")  # what was told and rolled back looks like that
    mutant(monkeypatch)
    assert any(wrong_with(seed) for seed in range(first, first + FIND_WITHIN))
