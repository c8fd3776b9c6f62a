"""SIGHUP to a worker: settings are read again, and those that can change take effect.

The others are named in the log: they need another worker, see `rtserver.cli.master`.
"""

import dataclasses
from collections.abc import Callable

import structlog

from rtserver.config.engine import SettingError
from rtserver.config.settings import SETTING_SPECS, Settings
from rtserver.observe.log_output import configure_logs

RELOADED = frozenset(
    {
        "log_level",
        "max_connections_per_user",
        "max_connections_per_project",
        "max_requests_per_s_per_user",
        "max_requests_per_s_per_address",
        "max_connects_per_s_per_user",
        "max_connects_per_s_per_address",
    }
)
"""By attribute name. What is open or under way already is left as it is."""
OF_ITS_OWN = frozenset({"worker_id"})
"""Where it is not set, each reading makes another one."""

_log = structlog.get_logger()


class Reload:
    """Reads a worker's settings again."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        take_limits: Callable[[Settings], None],
    ) -> None:
        """Make it.

        Args:
            settings: those that the worker has.
            read: reads them as they are now.
            take_limits: has the worker keep to the limits among these.
        """
        self._settings = settings
        self._read = read
        self._take_limits = take_limits

    def run(self) -> None:
        """Read them, take what can change, and say what could not. Raises nothing of theirs."""
        try:
            fresh = self._read()
        except SettingError as error:
            _log.error("settings_not_read", problem=str(error))
            return
        changed = {
            spec.attribute: spec.env_name
            for spec in SETTING_SPECS
            if spec.attribute not in OF_ITS_OWN
            and getattr(fresh, spec.attribute) != getattr(self._settings, spec.attribute)
        }
        taken = {name: getattr(fresh, name) for name in changed if name in RELOADED}
        secrets = self._settings.secrets | fresh.secrets
        self._settings = dataclasses.replace(self._settings, **taken)
        self._take_limits(self._settings)
        configure_logs(self._settings.log_format, self._settings.log_level, secrets)
        _log.info("settings_read", changed=sorted(changed[name] for name in taken))
        if others := sorted(changed[name] for name in changed.keys() - taken.keys()):
            _log.warning("settings_need_restart", settings=others)
