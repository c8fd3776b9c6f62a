"""Short runs under faults, of three seeds; `make chaos SEED=n MINUTES=m` makes long ones.

These have no network of their own: workers and mongods are killed and stopped, primaries step down,
and clients are cut.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import mongods
from tests.chaos.play import Plan, play
from tests.support.replica_set import ReplicaSet

FAULTS_S = 3.0


@pytest.fixture(scope="module")
def three() -> Iterator[ReplicaSet]:
    with mongods(None) as one:
        yield one


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.gen_test(timeout=240)
async def test_every_promise_is_kept_under_faults(
    three: ReplicaSet, tmp_path: Path, seed: int
) -> None:
    plan = Plan(seed, FAULTS_S, steady=4, publishers=1, between_s=(0.2, 0.8))
    assert await play(plan, three, None, tmp_path) == [], f"the history is in {tmp_path}"
