"""The settings of one worker, read from flags and the environment, and checked.

Flags win over the environment, the environment over the file that `RT_ENV_FILE` names, and that
over the default. What there is to set stands in
`rtserver.config.declarations` and `rtserver.config.run_declarations`.
"""

import base64
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from rtserver.config.engine import (
    SettingError,
    UnknownVariable,
    read_settings,
    specs_of,
    unknown_variables,
)
from rtserver.config.env_file import EnvFileError, read_env_file
from rtserver.config.kinds import split_mongodb_uri
from rtserver.config.run_declarations import RunDeclarations
from rtserver.model.watch import Watch, WatchSpecError, check_watches
from rtserver.model.webhook import WebhookSpecError, check_webhooks


@dataclass(frozen=True, slots=True)
class Settings(RunDeclarations):
    """The configuration of one worker. Made by `load`; the direct constructor checks nothing.

    Attributes whose names end in `_s` are seconds, in `_bytes` bytes. What each is for stands at
    its declaration and in `docs/settings.md`. The representation leaves secrets out.
    """

    unknown_environment: tuple[UnknownVariable, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the machine."""
        if not self.worker_id:
            object.__setattr__(self, "worker_id", _new_worker_id())
        object.__setattr__(self, "data_dir", self.data_dir.absolute())

    @property
    def folder_mode(self) -> int:
        """The mode of the folders that the server makes for what it keeps."""
        return int(self.data_dir_mode, 8)

    @property
    def workspaces_dir(self) -> Path:
        """Where the projects' workspaces are, whether `workspace_root` is set or not."""
        return self.workspace_root or self.data_dir / "workspaces"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The collections to follow, each with its database named."""
        return tuple(watch.in_database(self.mongodb_database) for watch in self.watch)

    @property
    def secrets(self) -> frozenset[str]:
        """The texts among the settings that nobody may see, in a log for example."""
        found = {self.jwt_secret, self.llm_api_key}
        for endpoint in self.webhooks:
            # Whoever knows it can often post there.
            found.add(endpoint.url)
            found |= {base64.b64encode(secret).decode() for secret in endpoint.secrets}
        for _, value in self.llm_headers:
            found |= {value, value.rpartition(" ")[2]}  # also what stands after `Bearer`
        for url in (self.llm_base_url, self.audit_witness_url):
            for name, values in parse_qs(urlsplit(url or "").query).items():
                if re.search(r"(?i)key|token|secret|sig|code", name):
                    found |= set(values)
        if self.mongodb_uri is not None:
            user, _, options = split_mongodb_uri(self.mongodb_uri)
            # A driver's error may show the password as it stands in the URI, or decoded.
            password = user.partition(":")[2]
            found |= {password, unquote(password)}
            found |= set(parse_qs(options).get("tlsCertificateKeyFilePassword", []))
        return frozenset(text for text in found if text)

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Self:
        """Read and check every setting.

        Args:
            environ: environment variables; those that don't start with `RT_` are ignored.
            flags: text by attribute name, as `flags_of` gives it; None where a flag was not given.

        Raises:
            SettingError: a value is not among what its setting takes.
            TypeError: `flags` has a key that is no setting (a mistake in the calling code).
        """
        environ = {**_from_file(environ, flags), **environ}
        values = read_settings(SETTING_SPECS, environ, flags)
        values["unknown_environment"] = unknown_variables(environ, SETTING_SPECS)
        # The keys and types are those of the fields, by construction from the same table.
        settings = cls(**values)  # type: ignore[arg-type]
        try:
            check_watches(settings.watches, settings.mongodb_database)
        except WatchSpecError as error:
            spec = next(spec for spec in SETTING_SPECS if spec.attribute == "watch")
            text = flags.get(spec.attribute) or environ.get(spec.env_name, "")
            raise SettingError(spec, text, str(error)) from None
        try:
            check_webhooks(
                settings.webhooks,
                settings.webhook_hosts,
                private=settings.webhook_private == "on",
            )
        except WebhookSpecError as error:
            spec = next(spec for spec in SETTING_SPECS if spec.attribute == "webhooks")
            raise SettingError(spec, "", str(error)) from None
        return settings


def _from_file(environ: Mapping[str, str], flags: Mapping[str, str | None]) -> dict[str, str]:
    """The settings in the file that `env_file` names; none where there is none.

    Raises:
        SettingError: it can't be used.
    """
    spec = next(spec for spec in SETTING_SPECS if spec.attribute == "env_file")
    text = flags.get(spec.attribute) or environ.get(spec.env_name, "")
    path = spec.read(text)
    if not isinstance(path, Path):
        return {}
    try:
        found = read_env_file(path)
    except EnvFileError as error:
        raise SettingError(spec, text, str(error)) from None
    return {name: value for name, value in found.items() if name.startswith("RT_")}


def _new_worker_id() -> str:
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


SETTING_SPECS = specs_of(Settings)
"""Every setting in the order of declaration."""
