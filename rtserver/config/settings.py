"""Every setting of the server, each declared once: type, default, unit, range and reason.

A setting is an environment variable `RT_NAME`, a flag `--name` of `serve` and an attribute `name`
of `Settings`. Flags win over the environment, the environment over the default. An empty value
means "not set" (except where `keep_empty` says otherwise), so that `RT_NAME=` in a service file is
harmless; blanks around a value are dropped.
`docs/settings.md` is generated from here by `rtserver.config.settings_doc`.
"""

import argparse
import dataclasses
import difflib
import ipaddress
import math
import os
import re
import secrets
import shlex
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

from rtserver.model.watch import FORM, Watch, WatchSpecError, check_watches, parse_watches

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

T = TypeVar("T")


class SettingError(ValueError):
    """A setting has a value that it can't have; the text is one line for the operator.

    The value itself is part of the text unless it is, or may carry, a secret.

    Attributes:
        env_name: the environment variable, `RT_...`.
        flag: the command-line flag, `--...`.
        allowed: what the setting takes, in words.
    """

    def __init__(self, spec: "SettingSpec", value: str, problem: str = "") -> None:
        self.env_name = spec.env_name
        self.flag = spec.flag
        self.allowed = spec.kind.allowed
        # An address with a user part carries a password more often than not.
        hidden = spec.secret or "@" in value
        shown = "what it is set to (not shown here)" if hidden else repr(_shortened(value))
        detail = f" ({_shortened(problem)})" if problem and not hidden else ""
        super().__init__(
            f"{self.env_name} ({self.flag}) can't be {shown}{detail}: it takes {self.allowed}"
        )


def _shortened(value: str) -> str:
    return value if len(value) <= 80 else value[:80] + "..."


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a setting becomes its value.

    Attributes:
        parse: text to value; raises ValueError, whose text may be shown after the value.
        allowed: what is taken, completing "it takes ...".
        unit: `seconds`, `bytes`, ...; empty where there is none.
        metavar: the placeholder in `--help`.
        is_list: items stand between separators; as a flag it may also be repeated.
        separator: what stands between them.
    """

    parse: Callable[[str], object]
    allowed: str
    unit: str = ""
    metavar: str = "TEXT"
    is_list: bool = False
    separator: str = ","


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """The declaration of one setting.

    Attributes:
        attribute: the name in `Settings`.
        kind: how its text is read.
        default: the value when it is not set.
        reason: why it is there and why the default is what it is.
        unset: words for the default where the value itself does not say it.
        section: the heading that it stands under in help and documentation.
        secret: the value is never shown.
        keep_empty: an empty text is a value of its own instead of "not set".
    """

    attribute: str
    kind: Kind
    default: object
    reason: str
    unset: str
    section: str
    secret: bool
    keep_empty: bool

    @property
    def env_name(self) -> str:
        """The environment variable, `RT_PING_INTERVAL_S`."""
        return "RT_" + self.attribute.upper()

    @property
    def flag(self) -> str:
        """The command-line flag, `--ping-interval-s`."""
        return "--" + self.attribute.replace("_", "-")

    def read(self, text: str) -> object:
        """The value that a text stands for.

        Raises:
            SettingError: the text is not among what the setting takes.
        """
        stripped = text.strip()
        if not stripped and not self.keep_empty:
            return self.default
        try:
            return self.kind.parse(stripped)
        except ValueError as error:
            # `from None`: the cause would bring the value of a secret into a traceback.
            raise SettingError(self, text, str(error)) from None


def format_bytes(count: int) -> str:
    """A number of bytes for people: `64 KiB`; plain bytes where no larger unit divides it."""
    for size, unit in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("not a whole number")
    return int(text)


def _count(lowest: int, highest: int) -> Kind:
    def parse(text: str) -> int:
        return _within(_whole(text), lowest, highest)

    return Kind(parse, f"a whole number from {lowest} to {highest}", metavar="N")


def _within(value: T, lowest: float, highest: float) -> T:
    if not lowest <= cast(float, value) <= highest:
        raise ValueError("out of range")
    return value


def _real(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9.eE+-]{1,32}", text) else math.nan
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number


def _rate(lowest: float, highest: float) -> Kind:
    def parse(text: str) -> float:
        return _within(_real(text), lowest, highest)

    return Kind(parse, f"a number from {lowest:g} to {highest:g}", "a second", "N")


def _seconds(lowest: float, highest: float) -> Kind:
    def parse(text: str) -> float:
        return _within(_real(text), lowest, highest)

    allowed = f"a number of seconds from {lowest:g} to {highest:g}"
    return Kind(parse, allowed, "seconds", "SECONDS")


_BYTE_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB}


def _size(lowest: int, highest: int) -> Kind:
    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([A-Za-z]*)", text)
        if match is None or match[2].lower() not in _BYTE_UNITS:
            raise ValueError("not a number of bytes")
        return _within(int(match[1]) * _BYTE_UNITS[match[2].lower()], lowest, highest)

    allowed = (
        f"a number of bytes from {format_bytes(lowest)} to {format_bytes(highest)}, "
        "plain or as 64KiB, 1MiB, 2GiB"
    )
    return Kind(parse, allowed, "bytes", "BYTES")


def _text(pattern: str, allowed: str) -> Kind:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Kind(parse, allowed)


_ANY_TEXT = _text(r"(?s).+", "any text")


def _choice(*options: str) -> Kind:
    def parse(text: str) -> str:
        if text.lower() not in options:
            raise ValueError
        return text.lower()

    return Kind(parse, f"one of {', '.join(options)}", metavar="|".join(options))


def _parse_mongodb_uri(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("mongodb", "mongodb+srv") or not parts.netloc or re.search(r"\s", text):
        raise ValueError
    return text


def _parse_web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text):
        raise ValueError("not a web address")
    if parts.username is not None:
        raise ValueError("it has a user name in it")
    _ = parts.port  # raises ValueError where the port is no port
    return text


_WEB_URL = Kind(_parse_web_url, "an http:// or https:// address with no user name in it", "", "URL")


def _parse_origin(text: str) -> str:
    parts = urlsplit(text)
    web = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    if not web or parts.path not in ("", "/") or parts.query or parts.fragment or "*" in text:
        raise ValueError(f"{text!r} is no origin")
    # As a browser writes it (RFC 6454 section 6.2): lower case, no default port.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default_port = 443 if parts.scheme == "https" else 80
    port = "" if parts.port in (None, default_port) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _list(parse_item: Callable[[str], str], allowed: str) -> Kind:
    def parse(text: str) -> tuple[str, ...]:
        items = [item.strip() for item in text.split(",")]
        return tuple(dict.fromkeys(parse_item(item) for item in items if item))

    return Kind(parse, allowed, metavar="A,B,...", is_list=True)


def _parse_networks(text: str) -> str:
    items = [item.strip().lower() for item in text.split(",")]
    return ",".join(
        item if item in ("loopback", "none") else str(ipaddress.ip_network(item))
        for item in items
        if item
    )


_ALGORITHMS = (
    *("HS256", "HS384", "HS512"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


def _parse_algorithm(text: str) -> str:
    for algorithm in _ALGORITHMS:
        if text.upper() == algorithm.upper():
            return algorithm
    raise ValueError(f"{text!r} is not among them")


def _parse_path(text: str) -> Path:
    # Absolute, since child processes run in other directories.
    return Path(text).expanduser().absolute()


_PATH = Kind(_parse_path, "the path of a directory", metavar="PATH")


def _parse_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(str(error).lower()) from None
    if words and not words[0]:
        raise ValueError("it names no command")
    return text


_COMMAND = Kind(_parse_command, "a command line with balanced quotes", metavar="COMMAND")


def _new_worker_id() -> str:
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _setting(
    default: T,
    kind: Kind,
    reason: str,
    *,
    section: str = "",
    unset: str = "",
    secret: bool = False,
    keep_empty: bool = False,
) -> T:
    """Declare a field of `Settings`. `section` is given on the first setting of each section."""
    metadata = {
        "kind": kind,
        "reason": reason,
        "section": section,
        "unset": unset,
        "secret": secret,
        "keep_empty": keep_empty,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """An `RT_` variable that is no setting; most likely a slip of the pen.

    Attributes:
        name: the variable as found.
        suggestion: the setting whose name is closest, if any is close.
    """

    name: str
    suggestion: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.name} is not a setting and does nothing{hint}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one worker. Made by `load`; the direct constructor checks nothing.

    Attributes whose names end in `_s` are seconds, in `_bytes` bytes. What each is for stands at
    its declaration and in `docs/settings.md`. The representation leaves secrets out.
    """

    host: str = _setting(
        "127.0.0.1",
        _text(r"\S+", "a host name or IP address with no blanks"),
        "Address to listen on. Loopback unless set, so that nothing is exposed by accident; "
        "0.0.0.0 or :: is every interface.",
        section="Listening",
    )
    port: int = _setting(
        8000, _count(0, 65535), "TCP port to listen on; 0 takes a free one and prints it."
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        _list(_parse_origin, "a comma-separated list of origins such as https://app.example.com"),
        "Origins of pages that may connect besides the server's own. There is no wildcard: "
        "a page of any site could then act with its visitor's token.",
        unset="same origin only",
    )
    trusted_proxies: str = _setting(
        "loopback",
        Kind(
            _parse_networks,
            "a comma-separated list of IP addresses, networks such as 10.0.0.0/8, `loopback` and "
            "`none`",
            metavar="A,B,...",
            is_list=True,
        ),
        "Proxies whose X-Forwarded-For names the client in audit records and logs. From anybody "
        "else the header is ignored: a client could write what it likes in it.",
    )
    worker_id: str = _setting(
        "",
        _text(r"[A-Za-z0-9_:-]{1,128}", "1 to 128 letters, digits, _ : and -"),
        "Names this worker in leases, audit records and logs. Must differ between workers.",
        unset="host name, process id and a random part",
    )
    shutdown_grace_s: float = _setting(
        5.0,
        _seconds(0, 600),
        "How long a stopping worker waits for its connections and runs to end; 0: not at all.",
    )

    data_dir: Path = _setting(
        Path("var"),
        _PATH,
        "Everything the server keeps outside MongoDB: the private MongoDB's files and socket, the "
        "demo's secret and workspace.",
        section="Storage",
        unset="`./var`",
    )
    mongodb_uri: str | None = _setting(
        None,
        Kind(
            _parse_mongodb_uri,
            "an address that starts with mongodb:// or mongodb+srv://",
            metavar="URI",
        ),
        "MongoDB replica set that holds the log, and is the bus between workers.",
        unset="a private mongod in the data directory",
        secret=True,
    )
    shared_mongod_wait_s: float = _setting(
        0.0,
        _seconds(0, 3600),
        "How long a worker without `RT_MONGODB_URI` waits for the MongoDB that `python -m rtserver "
        "mongod` shares in the data directory. 0: it does not wait, and starts one for itself "
        "where none is shared. Set it where both are started together.",
    )
    mongodb_database: str = _setting(
        "rtserver",
        _text(r"[A-Za-z0-9_-]{1,63}", "1 to 63 letters, digits, _ and -"),
        "Name of the database, so that several servers can share a MongoDB.",
    )
    log_connections: str = _setting(
        "auto",
        _choice("auto", "driver"),
        "Whether the logs reach MongoDB on connections of their own, which is quicker than through "
        "the driver, where its address asks for neither TLS nor a user. `driver`: they never do.",
    )
    event_log_bytes: int = _setting(
        256 * MIB,
        _size(4 * MIB, 1024 * TIB),
        "Size of the capped collection of events: how far back a client can resume. What is "
        "published together may have a quarter of it at most. Taken when the collection is made, "
        "and when a worker starts where MongoDB can resize it.",
    )
    audit_log_bytes: int = _setting(
        256 * MIB,
        _size(MIB, 1024 * TIB),
        "Size of the capped collection of audit records. Taken when the collection is made.",
    )
    audit_spool_bytes: int = _setting(
        64 * MIB,
        _size(4 * KIB, TIB),
        "Most audit records that wait for MongoDB while it can't be reached. Past it the server is "
        "not ready, and refuses what must not go unrecorded.",
    )
    audit_archive_dir: Path | None = _setting(
        None,
        _PATH,
        "Keeps audit records beyond the capped collection: gzipped JSON Lines, a file an hour. "
        "Workers that share the directory write it in turn; one with a directory of its own keeps "
        "a whole archive of its own.",
        unset="none is kept",
    )
    audit_anchor_interval_s: float = _setting(
        60.0,
        _seconds(0.1, 86_400),
        "Time after which a worker writes down where the audit chains of the others stand, so that "
        "none can be rewritten alone.",
    )
    recent_events_bytes: int = _setting(
        4 * MIB,
        _size(0, TIB),
        "Recent events kept in memory for each project, so that the usual short reconnect is "
        "served without a read from MongoDB; 0: none are kept.",
    )
    publish_timeout_s: float = _setting(
        10.0,
        _seconds(0.1, 600),
        "How long a publisher waits until its event is durable. Longer than an election of a new "
        "primary takes.",
    )
    publish_queue_bytes: int = _setting(
        16 * MIB,
        _size(4 * KIB, TIB),
        "Most events that wait to be appended; past it a publisher is refused.",
    )

    watch: tuple[Watch, ...] = _setting(
        (),
        Kind(
            parse_watches,
            f"collections to follow as {FORM}, with blanks between them; see docs/watching.md",
            metavar="WATCH",
            is_list=True,
            separator=" ",
        ),
        "Collections of an application whose changes are broadcast, so that what keeps its data in "
        "MongoDB need publish nothing.",
        section="Watching",
        unset="none",
    )

    jwt_secret: str | None = _setting(
        None,
        _ANY_TEXT,
        "Key for HMAC-signed tokens. At least 32 random bytes (RFC 7518 section 3.2).",
        section="Tokens",
        unset="none; with `--demo` one is made in the data directory",
        secret=True,
    )
    jwt_public_key: str | None = _setting(
        None,
        _text(r"(?s).+", "a public key in PEM form, or the path of a file that holds one"),
        "Key for tokens signed with a private key that the server never sees.",
        unset="none",
    )
    jwt_jwks_url: str | None = _setting(
        None,
        _WEB_URL,
        "Where the identity provider publishes its keys (RFC 7517), so that they can be rotated.",
        unset="none",
    )
    jwt_algorithms: tuple[str, ...] = _setting(
        (),
        _list(
            _parse_algorithm,
            f"a comma-separated list from {', '.join(_ALGORITHMS)}",
        ),
        "Signature algorithms that are accepted (RFC 8725 section 3.1). Never `none`.",
        unset="HS256 with a secret, the key's usual one with a public key, "
        "RS256, ES256 and EdDSA with a JWKS",
    )
    jwt_audience: str | None = _setting(
        None,
        _ANY_TEXT,
        "Required `aud` of tokens: refuses those that were issued for another service.",
        unset="not checked",
    )
    jwt_issuer: str | None = _setting(
        None,
        _ANY_TEXT,
        "Required `iss` of tokens: refuses those of another issuer.",
        unset="not checked",
    )

    ping_interval_s: float = _setting(
        30.0,
        _seconds(0.05, 3600),
        "Time between pings. Below the 60 s after which common proxies drop a silent connection.",
        section="Connections",
    )
    pong_timeout_s: float = _setting(
        10.0,
        _seconds(0.05, 3600),
        "How long a pong may take before the connection is closed with 4010.",
    )
    max_connections_per_user: int = _setting(
        5,
        _count(1, 1_000_000),
        "Connections of one user over all workers; past it the oldest is closed with 4009.",
    )
    max_connections_per_project: int = _setting(
        50,
        _count(1, 1_000_000),
        "Connections of one project over all workers; past it a new one gets HTTP 503.",
    )
    lease_s: float = _setting(
        15.0,
        _seconds(0.2, 3600),
        "How long connections, runs and workers count as alive after their last sign of life: "
        "a dead worker's places are free after this time.",
    )
    lock_lease_s: float = _setting(
        120.0,
        _seconds(1, 3600),
        "How long a project's lock is held after its holder's last renewal. Twice the minute to "
        "which browsers slow down the timers of a page in the background.",
    )
    outbox_bytes: int = _setting(
        MIB,
        _size(4 * KIB, GIB),
        "Most bytes that wait for one slow connection; past it, it is closed with 4008 and can "
        "resume.",
    )
    io_uring: str = _setting(
        "auto",
        _choice("auto", "off"),
        "Whether a batch for many connections goes to the kernel in one call where Linux has a way "
        "for that (from 5.18 on; containers may forbid it). `off`: one by one, as elsewhere.",
    )
    max_message_bytes: int = _setting(
        64 * KIB, _size(256, 64 * MIB), "Largest message that is taken from a client."
    )
    max_messages_per_s: float = _setting(
        50.0,
        _rate(0.1, 100_000),
        "Steady rate of messages of one connection; past it and the burst, it is closed with 4029.",
    )
    max_message_burst: int = _setting(
        100,
        _count(1, 1_000_000),
        "Messages that one connection may send at once above the steady rate.",
    )

    workspace_root: Path | None = _setting(
        None,
        _PATH,
        "Directory with one OpenSpec root for each project, named after it.",
        section="Runs",
        unset="`workspaces` in the data directory",
    )
    validation_command: str | None = _setting(
        None,
        _COMMAND,
        "Validates a proposal; its output is streamed. Split into words as a shell does, but never "
        "given to one; `{project_id}` and `{proposal_id}` are filled in.",
        unset="`openspec validate {proposal_id} --type change --strict --no-interactive`",
    )
    validation_report_command: str | None = _setting(
        None,
        _COMMAND,
        "Prints the JSON report that becomes `summary.report`. Set to empty for none.",
        unset="`openspec validate {proposal_id} --type change --strict --no-interactive --json`",
        keep_empty=True,
    )
    validation_timeout_s: float = _setting(
        300.0, _seconds(0.1, 86_400), "How long a validation may take before it is ended."
    )
    max_runs_per_worker: int = _setting(
        50, _count(1, 10_000), "Runs under way on one worker: each may hold a process or a request."
    )
    max_runs_per_project: int = _setting(
        10,
        _count(1, 10_000),
        "Runs of one project under way, over all workers, so that one can't starve the others.",
    )
    max_queued_runs_per_project: int = _setting(
        20,
        _count(0, 10_000),
        "Runs of one project that wait for a place on one worker; past it a start is refused. "
        "0: none wait.",
    )

    llm_base_url: str | None = _setting(
        None,
        _WEB_URL,
        "OpenAI-compatible endpoint; `/chat/completions` is added to it.",
        section="Language model",
        unset="iterations are off",
    )
    llm_api_key: str | None = _setting(
        None, _ANY_TEXT, "Sent to the endpoint as a bearer token.", unset="none", secret=True
    )
    llm_model: str | None = _setting(
        None, _ANY_TEXT, "Model that the endpoint is asked for.", unset="iterations are off"
    )
    llm_connect_timeout_s: float = _setting(
        10.0, _seconds(0.1, 600), "How long connecting to the endpoint may take."
    )
    llm_first_token_timeout_s: float = _setting(
        60.0,
        _seconds(0.1, 3600),
        "How long the first token may take: a busy endpoint queues, a large prompt is read first.",
    )
    llm_token_timeout_s: float = _setting(
        30.0, _seconds(0.1, 3600), "Longest pause between two tokens; past it the stream is stuck."
    )
    llm_timeout_s: float = _setting(
        600.0, _seconds(0.1, 86_400), "How long a whole iteration's request may take."
    )
    llm_max_reply_bytes: int = _setting(
        2 * MIB, _size(KIB, GIB), "Largest reply that is held in memory before files are written."
    )
    llm_max_reply_tokens: int = _setting(
        100_000,
        _count(1, 100_000_000),
        "Most pieces of a reply's stream, which are tokens at most endpoints; past it the request "
        "is closed.",
    )
    llm_context_chars: int = _setting(
        200_000,
        _count(1000, 100_000_000),
        "Most characters of a proposal's files that are sent to the model.",
    )

    log_format: str = _setting(
        "text",
        _choice("text", "json"),
        "`text` for people, `json` (one object a line) for collectors.",
        section="Logs",
    )
    log_level: str = _setting(
        "info",
        _choice("debug", "info", "warning", "error"),
        "The least severe log line that is written.",
    )

    unknown_environment: tuple[UnknownVariable, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the machine."""
        if not self.worker_id:
            object.__setattr__(self, "worker_id", _new_worker_id())
        object.__setattr__(self, "data_dir", self.data_dir.absolute())

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
        if self.mongodb_uri is not None:
            parts = urlsplit(self.mongodb_uri)
            # A driver's error may show the password as it stands in the URI, or decoded.
            password = parts.netloc.rpartition("@")[0].partition(":")[2]
            found |= {password, unquote(password)}
            found |= set(parse_qs(parts.query).get("tlsCertificateKeyFilePassword", []))
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
        specs = setting_specs()
        if unknown := flags.keys() - {spec.attribute for spec in specs}:
            raise TypeError(f"not settings: {', '.join(sorted(unknown))}")
        values: dict[str, object] = {}
        texts: dict[str, str] = {}
        for spec in specs:
            text = flags.get(spec.attribute)
            text = environ.get(spec.env_name) if text is None else text
            if text is not None:
                values[spec.attribute] = spec.read(text)
                texts[spec.attribute] = text
        values["unknown_environment"] = _unknown_variables(environ, specs)
        # The keys and types are those of the fields, by construction from the same table.
        settings = cls(**values)  # type: ignore[arg-type]
        try:
            check_watches(settings.watches, settings.mongodb_database)
        except WatchSpecError as error:
            spec = next(spec for spec in specs if spec.attribute == "watch")
            raise SettingError(spec, texts["watch"], str(error)) from None
        return settings


def _unknown_variables(
    environ: Mapping[str, str], specs: tuple[SettingSpec, ...]
) -> tuple[UnknownVariable, ...]:
    known = [spec.env_name for spec in specs]
    found = sorted(name for name in environ if name.startswith("RT_") and name not in known)
    return tuple(
        UnknownVariable(name, next(iter(difflib.get_close_matches(name, known, n=1)), None))
        for name in found
    )


def setting_specs() -> tuple[SettingSpec, ...]:
    """Every setting in the order of declaration."""
    specs: list[SettingSpec] = []
    section = ""
    for field in dataclasses.fields(Settings):
        if "kind" not in field.metadata:
            continue
        declared = dict(field.metadata)
        section = declared["section"] or section
        declared["section"] = section
        specs.append(SettingSpec(attribute=field.name, default=field.default, **declared))
    return tuple(specs)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser one flag for each setting; `flags_of` reads them back.

    Values stay text here, so that flags and environment are read and refused by the same code.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    for spec in setting_specs():
        if spec.section not in groups:
            groups[spec.section] = parser.add_argument_group(spec.section.lower())
        note = " Visible in the process list: prefer the environment." if spec.secret else ""
        groups[spec.section].add_argument(
            spec.flag,
            dest=spec.attribute,
            metavar=spec.kind.metavar,
            action="append" if spec.kind.is_list else "store",
            help=f"{spec.reason}{note} [{spec.env_name}]".replace("%", "%%"),
        )


def flags_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """What the flags of `add_flags` were given, for `Settings.load`."""
    flags: dict[str, str | None] = {}
    for spec in setting_specs():
        value: str | list[str] | None = getattr(arguments, spec.attribute, None)
        flags[spec.attribute] = (
            spec.kind.separator.join(value) if isinstance(value, list) else value
        )
    return flags
