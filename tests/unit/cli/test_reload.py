"""SIGHUP to a worker."""

import pytest

from rtserver.cli import reload
from rtserver.cli.reload import RELOADED, Reload
from rtserver.config.settings import SETTING_SPECS, Settings
from tests.support.recorder import LogRecorder


def test_what_can_change_is_taken_and_the_rest_is_named(
    logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[str] = []
    monkeypatch.setattr(reload, "configure_logs", lambda _format, level, _: levels.append(level))
    environ: dict[str, str] = {}
    taken: list[Settings] = []
    one = Reload(Settings.load({}, {}), lambda: Settings.load(environ, {}), taken.append)
    one.run()
    environ |= {"RT_LOG_LEVEL": "debug", "RT_MAX_CONNECTIONS_PER_USER": "7", "RT_LEASE_S": "30"}
    one.run()
    assert (taken[-1].max_connections_per_user, taken[-1].lease_s) == (7, 15.0)
    assert levels == ["info", "debug"]
    logs.expect("settings_not_read")
    environ["RT_LEASE_S"] = "soon"
    one.run()
    assert len(taken) == 2
    said = [(line["event"], line.get("changed", line.get("settings"))) for line in logs.lines]
    assert said == [
        ("settings_read", []),
        ("settings_read", ["RT_LOG_LEVEL", "RT_MAX_CONNECTIONS_PER_USER"]),
        ("settings_need_restart", ["RT_LEASE_S"]),
        ("settings_not_read", None),
    ]


def test_each_that_can_change_is_a_setting() -> None:
    assert {spec.attribute for spec in SETTING_SPECS} >= RELOADED
