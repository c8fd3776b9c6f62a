"""What the simulation finds: nothing in the code as it is, and its former faults put back."""

import pytest

from tests.simulation import mutants
from tests.simulation.mutants import Mutant
from tests.simulation.world import World, act
from tests.support.warp import run

FIND_WITHIN = 60


def wrong_with(seed: int) -> list[str]:
    async def play() -> list[str]:
        return await World(seed).play(what=act)

    return run(play())


@pytest.mark.parametrize(
    "seeds", [range(1, 4), pytest.param(range(4, 1000), marks=pytest.mark.soak)]
)
def test_all_is_right_when_faults_are_over(seeds: range) -> None:
    assert {seed: wrong for seed in seeds if (wrong := wrong_with(seed))} == {}


@pytest.mark.parametrize(
    ("mutant", "first"),
    [
        (mutants.the_sweep_tells_what_no_majority_has, 3),
        (mutants.nothing_keeps_output_from_following_the_end, 4),
        (mutants.who_lost_a_place_goes_on, 1),
        (mutants.a_second_answer_is_read_like_the_first, 6),
        pytest.param(mutants.an_insert_goes_to_whoever_is_primary, 24, marks=pytest.mark.soak),
    ],
)
def test_a_former_fault_is_found(
    mutant: Mutant, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert any(wrong_with(seed) for seed in range(first, first + FIND_WITHIN))
