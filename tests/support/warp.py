"""An event loop whose clock jumps to the next timer: minutes pass in no time, in exact order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: what it was to wait has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is under way, and no timer is set")
        self.now_s += timeout
        return super().select(0)


class WarpLoop(asyncio.SelectorEventLoop):
    """The loop. For what does no I/O."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something on such a loop, to its end."""
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(work)
