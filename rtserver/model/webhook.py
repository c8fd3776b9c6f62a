"""Endpoints of webhooks, and the form in which `RT_WEBHOOKS` declares them.

A JSON array of objects, or the path of a file that holds one. The keys, and what they are for,
stand in docs/webhooks.md. No message here shows a URL or a secret: both may let somebody in.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from rtserver.model import ids
from rtserver.model.audience import AudienceKind

MAX_ENDPOINTS = 50
MAX_PROJECTS = 100
MAX_FILE_BYTES = 1024 * 1024
SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""Standard Webhooks, "Symmetric": between 24 and 64 random bytes."""
DAY_S = 24 * 3600.0
ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"


class WebhookSpecError(ValueError):
    """What was given declares no endpoints. The message names the part."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Somebody to tell of events.

    Attributes:
        id: names it for all time: its place in the logs is kept under this.
        url: where messages are posted.
        secrets: keys that each message is signed with, the newest first.
        projects: whose events.
        types: of the events; one that ends in `*` stands for all that begin so; empty: all.
        audiences: the events that it is told of, by whom they are for.
        retry_s: for how long a message is tried before it becomes a dead letter.
    """

    id: str
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    projects: tuple[str, ...]
    types: frozenset[str] = frozenset()
    audiences: frozenset[AudienceKind] = frozenset({AudienceKind.PROJECT})
    retry_s: float = DAY_S

    @property
    def host(self) -> str:
        """The host of the URL, in lower case."""
        return urlsplit(self.url).hostname or ""


class _Declared(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    url: Annotated[str, msgspec.Meta(max_length=2048)]
    secret: str | Annotated[list[str], msgspec.Meta(min_length=1, max_length=5)]
    projects: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_PROJECTS)]
    types: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    audiences: Annotated[
        list[Literal["project", "proposal", "members", "users"]], msgspec.Meta(min_length=1)
    ] = msgspec.field(default_factory=lambda: ["project"])
    retry_s: Annotated[float, msgspec.Meta(ge=1, le=7 * DAY_S)] = DAY_S


_decode = msgspec.json.Decoder(
    Annotated[list[_Declared], msgspec.Meta(max_length=MAX_ENDPOINTS)]
).decode


def parse_webhooks(text: str) -> tuple[WebhookEndpoint, ...]:
    """The endpoints that a text declares, or the file that it names.

    Raises:
        WebhookSpecError: it declares none.
    """
    if not text.lstrip().startswith("["):
        text = _read(text)
    try:
        declared = _decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WebhookSpecError(f"it is no list of endpoints: {error}") from None
    endpoints = tuple(_endpoint(one) for one in declared)
    if len({one.id for one in endpoints}) < len(endpoints):
        raise WebhookSpecError("two endpoints have the same id")
    return endpoints


def check_webhooks(
    endpoints: Sequence[WebhookEndpoint], hosts: Sequence[str], *, private: bool
) -> None:
    """Check what depends on other settings.

    Args:
        endpoints: those declared.
        hosts: those that may be told, see `is_allowed_host`.
        private: also at private addresses, and without TLS.

    Raises:
        WebhookSpecError: an endpoint is where nothing may be sent.
    """
    for endpoint in endpoints:
        if not is_allowed_host(endpoint.host, hosts):
            raise WebhookSpecError(
                f"the host of {endpoint.id} is not in RT_WEBHOOK_HOSTS: name it there"
            )
        if not private and urlsplit(endpoint.url).scheme != "https":
            raise WebhookSpecError(
                f"{endpoint.id} is not told over https, which takes RT_WEBHOOK_PRIVATE=on"
            )


def is_allowed_host(host: str, hosts: Sequence[str]) -> bool:
    """Whether a host is one of those; `*.example.com` stands for all below example.com."""
    return any(
        host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
        for allowed in hosts
    )


def parse_webhook_host(text: str) -> str:
    """A host that may be told, in lower case.

    Raises:
        ValueError: the text is no host.
    """
    host = text.lower()
    bare = host.removeprefix("*.")
    if not bare or any(character in bare for character in "*/@ ?#"):
        raise ValueError(text)
    return host


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise WebhookSpecError(f"the file has more than {MAX_FILE_BYTES} bytes")
        return content.decode()
    except (OSError, ValueError) as error:
        if isinstance(error, WebhookSpecError):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WebhookSpecError(f"neither a JSON array nor a file that can be read: {reason}") from (
            None
        )


def _endpoint(declared: _Declared) -> WebhookEndpoint:
    name = declared.id
    if not _is_web_address(declared.url):
        raise WebhookSpecError(
            f"the url of {name} is no http(s) address without a user and a fragment"
        )
    texts = [declared.secret] if isinstance(declared.secret, str) else declared.secret
    try:
        projects = tuple(dict.fromkeys(ids.project_id(one) for one in declared.projects))
    except ids.BadIdentifier as error:
        raise WebhookSpecError(f"a project of {name}: {error}") from None
    for pattern in declared.types:
        if not pattern or "*" in pattern[:-1]:
            raise WebhookSpecError(f"a type of {name}: * stands at the end only, and it is not ''")
    return WebhookEndpoint(
        id=name,
        url=declared.url,
        secrets=tuple(_secret(name, text) for text in texts),
        projects=projects,
        types=frozenset(() if "*" in declared.types else declared.types),
        audiences=frozenset(AudienceKind(one) for one in declared.audiences),
        retry_s=declared.retry_s,
    )


def _is_web_address(url: str) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and "#" not in url
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )


def _secret(name: str, text: str) -> bytes:
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError
        encoded = text.removeprefix(SECRET_PREFIX)
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise WebhookSpecError(f"a secret of {name} is not {SECRET_PREFIX} and base64") from None
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise WebhookSpecError(
            f"a secret of {name} has not {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        )
    return secret
