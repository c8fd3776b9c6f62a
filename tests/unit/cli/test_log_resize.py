"""`log resize`: what is asked before a log loses something."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from rtserver.app.logs import log_sizes
from rtserver.app.operator.logs import LOG_COLLECTIONS
from rtserver.cli import log_resize
from rtserver.cli.log_resize import LOGS, resize
from rtserver.config.settings import SETTING_SPECS, Settings
from rtserver.model.errors import OperatorError


class Change:
    def __init__(self, before_bytes: int, after_bytes: int) -> None:
        self.before_bytes = before_bytes
        self.after_bytes = after_bytes
        self.used_bytes = 500
        self.done = False

    async def carry_out(self) -> None:
        self.done = True


async def run(
    monkeypatch: pytest.MonkeyPatch, before_bytes: int, after_bytes: int, *, shrink: bool = False
) -> Change:
    change = Change(before_bytes, after_bytes)

    @contextlib.asynccontextmanager
    async def resizing(_settings: Settings, log: str) -> AsyncIterator[Change]:
        assert log == "audit"
        yield change

    monkeypatch.setattr(log_resize, "operator_resizing", resizing)
    with contextlib.suppress(OperatorError):
        assert await resize(Settings(), "audit", shrink=shrink) == 0
    return change


@pytest.mark.gen_test
async def test_a_log_grows_and_shrinks_only_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (await run(monkeypatch, 1000, 2000)).done
    assert not (await run(monkeypatch, 2000, 1000)).done
    assert (await run(monkeypatch, 2000, 1000, shrink=True)).done
    assert not (await run(monkeypatch, 1000, 1000, shrink=True)).done


def test_each_log_has_a_collection_and_a_setting() -> None:
    assert LOGS.keys() == LOG_COLLECTIONS.keys()
    assert set(LOG_COLLECTIONS.values()) == log_sizes(Settings()).keys()
    assert set(LOGS.values()) <= {spec.env_name for spec in SETTING_SPECS}
