"""A worker's memory stays flat while iterations come and go.

Ten minutes by `make soak ARGS='-k memory'`; with `SOAK_S=120` in front for so many seconds.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.iteration_case import SETTINGS, Case, case_on, reply_with, text_of
from tests.support.llm_server import LlmThread, pieces_of, says
from tests.support.workers import Workers

SOAK_S = float(os.environ.get("SOAK_S", "600"))
WARM_UP_S = min(SOAK_S * 0.4, 120.0)
SAMPLE_S = 1.0
CASES = 10
MIB = 1024 * 1024

MAX_GROWTH_PER_MIN_BYTES = 0.5 * MIB
"""For what leaks: 250 iterations a minute would each leave 2 KiB."""
NOISE_BYTES = 4 * MIB
"""What allocator and collector move up and down; over ten minutes it hardly counts."""


@pytest.fixture
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def iterate(case: Case, until_s: float) -> int:
    """One iteration after the other: every other one changes a file, every fifth is cancelled."""
    count = 0
    while time.monotonic() < until_s:
        count += 1
        reply = reply_with({"proposal.md": f"# Version {count % 2}\n" + "word " * 300})
        case.answer(says(pieces_of(reply, 8), pause_s=0.002))
        run_id = await case.start()
        if count % 5 == 0:
            await case.viewer.recv_type("token")
            await case.ada.delete(f"/api/v1/runs/{run_id}")
        end = await case.end(timeout_s=120)
        assert end["type"] in ("iteration_complete", "iteration_cancelled"), end
        if count % 5:
            assert text_of(case.seen) == reply
        case.seen.clear()
        case.viewer.frames.clear()
    return count


async def sample(pid: int, until_s: float) -> list[tuple[float, int]]:
    """Seconds since the start, and bytes resident, after the warm-up."""
    began_s = time.monotonic()
    samples: list[tuple[float, int]] = []
    await asyncio.sleep(WARM_UP_S)
    while time.monotonic() < until_s:
        samples.append((time.monotonic() - began_s, rss_bytes(pid)))
        await asyncio.sleep(SAMPLE_S)
    return samples


@pytest.mark.soak
@pytest.mark.gen_test(timeout=SOAK_S + 180)
async def test_memory_stays_flat(workers: Workers, llm: LlmThread, project: str) -> None:
    workers.start(
        **{
            **SETTINGS,
            "llm_base_url": llm.base_url,
            "max_connections_per_user": 100,
            "recent_events_bytes": 256 * 1024,
        }
    )
    async with AsyncExitStack() as stack:
        cases = [
            await stack.enter_async_context(case_on(workers, llm, f"{project}-{number}", there=0))
            for number in range(CASES)
        ]
        until_s = time.monotonic() + SOAK_S
        pid = cases[0].here.pid
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(sample(pid, until_s))
            iterating = [group.create_task(iterate(case, until_s)) for case in cases]
    samples, count = sampling.result(), sum(task.result() for task in iterating)
    seconds, sizes = zip(*samples, strict=True)
    slope = statistics.linear_regression(seconds, sizes).slope * 60
    minutes = (seconds[-1] - seconds[0]) / 60
    allowed = MAX_GROWTH_PER_MIN_BYTES + NOISE_BYTES / minutes
    print(  # noqa: T201 - what came out is for people, `-s` shows it
        f"{count} iterations, {len(sizes)} samples, {min(sizes) / MIB:.1f} to "
        f"{max(sizes) / MIB:.1f} MiB, {slope / 1024:+.0f} KiB a minute"
    )
    assert slope < allowed, f"{slope / 1024:.0f} KiB a minute, {allowed / 1024:.0f} are noise"
