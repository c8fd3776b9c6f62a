"""`handlers.sockjs.router`: that nothing of the library is reached past the corrections."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.realtime.socket_base import SocketHandler
from handlers.sockjs.request import CorrectedHandler
from handlers.sockjs.router import CORRECTED, Router
from rtserver.auth.origins import Origins

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sockjs.tornado import router as library
    from sockjs.tornado import static


def make_router(**options: Any) -> Router:
    context: Any = SimpleNamespace(origins=Origins([]), max_strangers_per_address=9)
    return Router(lambda _session: None, "/sockjs/x", context, script="/s.js", **options)


@pytest.mark.gen_test
async def test_every_handler_of_the_library_is_replaced() -> None:
    handlers = {
        *[handler for _, handler in library.GLOBAL_HANDLERS],
        *library.TRANSPORTS.values(),
        *library.STATIC_HANDLERS.values(),
    }
    assert handlers - {static.ChunkingTestHandler} == set(CORRECTED)
    for pattern, handler, given in make_router().urls:
        assert handler in CORRECTED.values(), pattern
        assert issubclass(handler, CorrectedHandler | SocketHandler)
        assert given["server"] is not None


@pytest.mark.gen_test
async def test_the_librarys_timers_do_not_run() -> None:
    router = make_router()
    assert not router._sessions_cleanup.is_running()
    assert not router.stats._callback.is_running()


@pytest.mark.gen_test
async def test_without_websockets_there_is_no_address_for_them() -> None:
    patterns = [pattern for pattern, *_ in make_router(websockets=False).urls]
    assert not [pattern for pattern in patterns if "websocket" in pattern]
    assert len(patterns) == len(make_router().urls) - 2
