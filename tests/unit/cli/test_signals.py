import asyncio
import os
import signal

import pytest

from rtserver.cli.signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.gen_test
async def test_a_signal_sets_the_event_and_a_second_one_would_end_the_process(
    number: signal.Signals,
) -> None:
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(5):
                await stop.wait()
        assert stop.has_successor == (number == signal.SIGUSR1)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.gen_test
async def test_signals_do_what_they_did_before_when_the_wait_is_over() -> None:
    with stop_signals() as stop:
        assert not stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
