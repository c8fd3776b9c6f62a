"""The settings of the server, each declared once: type, default, unit, range and reason.

Those of what it runs for its users stand in `rtserver.config.run_declarations`.

A setting is an environment variable `RT_NAME`, a flag `--name` of `serve` and an attribute `name`
of `Settings`. An empty value means "not set" (except where `keep_empty` says otherwise), so that
`RT_NAME=` in a service file is harmless; blanks around a value are dropped.
`docs/settings.md` is generated from here by `rtserver.config.settings_doc`.
"""

from dataclasses import dataclass
from pathlib import Path

from rtserver.config.engine import (
    setting,
)
from rtserver.config.kinds import (
    ALGORITHMS,
    ANY_TEXT,
    FILE,
    GIB,
    KIB,
    MIB,
    PATH,
    TIB,
    WEB_URL,
    Kind,
    choice,
    count,
    list_of,
    parse_algorithm,
    parse_descriptor,
    parse_mongodb_uri,
    parse_networks,
    parse_origin,
    rate,
    seconds,
    size,
    text_like,
)
from rtserver.model.watch import FORM, Watch, parse_watches
from rtserver.model.webhook import WebhookEndpoint, parse_webhook_host, parse_webhooks


@dataclass(frozen=True, slots=True)
class Declarations:
    """In the order of the documentation. `Settings` reads and checks them."""

    host: str = setting(
        "127.0.0.1",
        text_like(r"\S+", "a host name or IP address with no blanks"),
        "Address to listen on. Loopback unless set, so that nothing is exposed by accident; "
        "0.0.0.0 or :: is every interface.",
        section="Listening",
    )
    port: int = setting(
        8000, count(0, 65535), "TCP port to listen on; 0 takes a free one and prints it."
    )
    listen_fds: tuple[int, ...] = setting(
        (),
        list_of(parse_descriptor, "a comma-separated list of numbers of descriptors"),
        "Sockets that listen already and are inherited from whoever starts the worker: `python -m "
        "rtserver master`, a socket unit of systemd, an fcgi-program of supervisord. They outlive "
        "the worker, so that no connection is refused while another takes its place.",
        unset="the worker takes RT_HOST and RT_PORT by itself",
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        list_of(parse_origin, "a comma-separated list of origins such as https://app.example.com"),
        "Origins of pages that may connect besides the server's own. There is no wildcard: "
        "a page of any site could then act with its visitor's token.",
        unset="same origin only",
    )
    trusted_proxies: str = setting(
        "loopback",
        Kind(
            parse_networks,
            "a comma-separated list of IP addresses, networks such as 10.0.0.0/8, `loopback` and "
            "`none`",
            metavar="A,B,...",
            is_list=True,
        ),
        "Proxies whose X-Forwarded-For names the client in audit records, logs and bounds by "
        "address. From anybody else the header is ignored: a client could write what it likes in "
        "it.",
    )
    worker_id: str = setting(
        "",
        text_like(r"[A-Za-z0-9_:-]{1,128}", "1 to 128 letters, digits, _ : and -"),
        "Names this worker in leases, audit records and logs. Must differ between workers.",
        unset="host name, process id and a random part",
    )
    shutdown_grace_s: float = setting(
        5.0,
        seconds(0, 600),
        "How long a stopping worker waits for its connections and runs to end; 0: not at all.",
    )
    env_file: Path | None = setting(
        None,
        FILE,
        "File with further settings, lines `NAME=VALUE`. It is read at the start, and again on "
        "SIGHUP, so that settings can change without a restart of the master. The environment wins "
        "over it. Whatever runs under the server's account can read it: keep secrets elsewhere.",
        unset="none",
    )

    data_dir: Path = setting(
        Path("var"),
        PATH,
        "Everything the server keeps outside MongoDB: the private MongoDB's files and socket, the "
        "demo's secret and workspace.",
        section="Storage",
        unset="`./var`",
    )
    data_dir_mode: str = setting(
        "0700",
        text_like("0?7[0-7]{2}", "a mode in octal, from 0700 to 0777: all for its owner"),
        "Who else may enter the data directory and the folders of workspaces and audit records in "
        "it, where the server makes them. Nobody unless set: they hold what was refused to others.",
    )
    mongodb_uri: str | None = setting(
        None,
        Kind(
            parse_mongodb_uri,
            "an address that starts with mongodb:// or mongodb+srv://",
            metavar="URI",
        ),
        "MongoDB replica set that holds the log, and is the bus between workers.",
        unset="a private mongod in the data directory",
        secret=True,
    )
    shared_mongod_wait_s: float = setting(
        0.0,
        seconds(0, 3600),
        "How long a worker without `RT_MONGODB_URI` waits for the MongoDB that `python -m rtserver "
        "mongod` shares in the data directory. 0: it does not wait, and starts one for itself "
        "where none is shared. Set it where both are started together.",
    )
    startup_wait_s: float = setting(
        300.0,
        seconds(0, 86_400),
        "How long a worker that starts waits for a MongoDB that does not answer, or has no "
        "majority: a worker that runs waits too, and both may be started together. Longer than a "
        "replica set takes to come back; then the worker ends, so that a wrong address is noticed. "
        "0: it does not wait.",
    )
    mongodb_database: str = setting(
        "rtserver",
        text_like(r"[A-Za-z0-9_-]{1,63}", "1 to 63 letters, digits, _ and -"),
        "Name of the database, so that several servers can share a MongoDB.",
    )
    event_log_bytes: int = setting(
        256 * MIB,
        size(4 * MIB, 1024 * TIB),
        "Size of the capped collection of events: how far back a client can resume. What is "
        "published together may have a quarter of it at most. Taken when the collection is made; "
        "`log resize events` changes it.",
    )
    audit_log_bytes: int = setting(
        256 * MIB,
        size(MIB, 1024 * TIB),
        "Size of the capped collection of audit records. Taken when the collection is made; `log "
        "resize audit` changes it.",
    )
    stranger_log_bytes: int = setting(
        32 * MIB,
        size(MIB, 1024 * TIB),
        "Size of the capped collection of what was refused to clients without a valid token. It is "
        "their own, so that nobody can push records of users out of the audit log; a worker writes "
        "some 200 KiB a minute into it at most. Taken when the collection is made; `log resize "
        "strangers` changes it.",
    )
    audit_spool_bytes: int = setting(
        64 * MIB,
        size(4 * KIB, TIB),
        "Most audit records that wait for MongoDB while it can't be reached. Past it the server is "
        "not ready, and refuses what must not go unrecorded.",
    )
    audit_archive_dir: Path | None = setting(
        None,
        PATH,
        "Keeps audit records beyond the capped collection: gzipped JSON Lines, a file an hour. "
        "Workers that share the directory write it in turn; one with a directory of its own keeps "
        "a whole archive of its own.",
        unset="none is kept",
    )
    audit_anchor_interval_s: float = setting(
        60.0,
        seconds(0.1, 86_400),
        "Time after which a worker writes down where the audit chains of the others stand, so that "
        "none can be rewritten alone.",
    )
    audit_signing_key_file: Path | None = setting(
        None,
        FILE,
        "File with the key that workers sign checkpoints of the audit log with, made by `audit key "
        "--new`. Without the key nobody can make a tampered log fit, whatever they may write to. "
        'See docs/audit.md, "Signed checkpoints".',
        unset="nothing is signed",
    )
    audit_checkpoint_interval_s: float = setting(
        5.0,
        seconds(0.1, 3600),
        "Time between two checkpoints of a worker: what happened since the last one is as safe as "
        "without a key.",
    )
    audit_checkpoints_dir: Path | None = setting(
        None,
        PATH,
        "Directory outside for checkpoints, best on another machine: the newest of each worker, a "
        "file of some 300 bytes each. It shows where the end of the log was removed.",
        unset="none",
    )
    audit_witness_url: str | None = setting(
        None,
        WEB_URL,
        "Address outside that is sent each checkpoint with a POST. What does not get there is "
        "tried again, and holds up nothing.",
        unset="none",
    )
    recent_events_bytes: int = setting(
        4 * MIB,
        size(0, TIB),
        "Recent events kept in memory for each project, so that the usual short reconnect is "
        "served without a read from MongoDB; 0: none are kept.",
    )
    publish_timeout_s: float = setting(
        10.0,
        seconds(0.1, 600),
        "How long a publisher waits until its event is durable. Longer than an election of a new "
        "primary takes.",
    )
    publish_queue_bytes: int = setting(
        16 * MIB,
        size(4 * KIB, TIB),
        "Most events that wait to be appended; past it a publisher is refused.",
    )

    watch: tuple[Watch, ...] = setting(
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

    webhooks: tuple[WebhookEndpoint, ...] = setting(
        (),
        Kind(
            parse_webhooks,
            "a JSON array of endpoints, or the path of a file that holds one; see docs/webhooks.md",
            metavar="JSON",
            tells=True,
        ),
        "Whom to tell of events by signed webhooks, for those who are not connected.",
        section="Webhooks",
        unset="nobody",
        secret=True,
    )
    webhook_hosts: tuple[str, ...] = setting(
        (),
        list_of(
            parse_webhook_host,
            "a comma-separated list of hosts such as hooks.example.com or *.example.com",
        ),
        "Hosts that endpoints may be at; *.example.com is all below example.com. An endpoint at "
        "another is refused at the start.",
        unset="none",
    )
    webhook_private: str = setting(
        "off",
        choice("on", "off"),
        "Whether endpoints may be at addresses that are not of the public Internet (loopback, "
        "private, link-local ...), and be told without TLS. off: a name that is made to point at "
        "such an address leads nowhere.",
    )
    webhook_timeout_s: float = setting(
        15.0, seconds(0.1, 60), "How long an attempt at an endpoint may take as a whole."
    )

    jwt_secret: str | None = setting(
        None,
        ANY_TEXT,
        "Key for HMAC-signed tokens. At least 32 random bytes (RFC 7518 section 3.2).",
        section="Tokens",
        unset="none; with `--demo` one is made in the data directory",
        secret=True,
    )
    jwt_public_key: str | None = setting(
        None,
        text_like(r"(?s).+", "public keys in PEM form, or the path of a file that holds them"),
        "Key for tokens signed with a private key that the server never sees. Several, one after "
        "the other, are all accepted, while one takes another's place. Read at the start.",
        unset="none",
    )
    jwt_jwks_url: str | None = setting(
        None,
        WEB_URL,
        "Where the identity provider publishes its keys (RFC 7517), so that they can be rotated.",
        unset="none",
    )
    jwt_jwks_refresh_s: float = setting(
        60.0,
        seconds(1, 86400),
        "Age from which a worker reads the provider's keys anew, when a token comes. A key that "
        "was withdrawn is refused by each worker so much later at the latest, while the provider "
        "answers; where it does not, the last keys stay.",
    )
    jwt_jwks_cooldown_s: float = setting(
        10.0,
        seconds(0.1, 3600),
        "Least time between two reads of the provider's keys. A token with a key that is not known "
        "has them read at once, and strangers must not make the server ask too often. So a key "
        "that is new is taken so much later at the latest.",
    )
    jwt_algorithms: tuple[str, ...] = setting(
        (),
        list_of(
            parse_algorithm,
            f"a comma-separated list from {', '.join(ALGORITHMS)}",
        ),
        "Signature algorithms that are accepted (RFC 8725 section 3.1). Never `none`.",
        unset="HS256 with a secret, the key's usual one with a public key, "
        "RS256, ES256 and EdDSA with a JWKS",
    )
    jwt_audience: str | None = setting(
        None,
        ANY_TEXT,
        "Required `aud` of tokens: refuses those that were issued for another service.",
        unset="not checked",
    )
    jwt_issuer: str | None = setting(
        None,
        ANY_TEXT,
        "Required `iss` of tokens: refuses those of another issuer.",
        unset="not checked",
    )
    jwt_projects_claim: str = setting(
        "projects",
        text_like(r"\S{1,200}", "the name of a claim with no blanks"),
        "Claim with the projects that a token opens. Some providers allow only names that are "
        "addresses, such as `https://example.org/projects`.",
    )
    jwt_roles_claim: str = setting(
        "roles",
        text_like(r"\S{1,200}", "the name of a claim with no blanks"),
        "Claim with the roles that a token gives. Likewise.",
    )

    ping_interval_s: float = setting(
        30.0,
        seconds(0.05, 3600),
        "Time between pings. Below the 60 s after which common proxies drop a silent connection.",
        section="Connections",
    )
    pong_timeout_s: float = setting(
        10.0,
        seconds(0.05, 3600),
        "How long a pong may take before the connection is closed with 4010.",
    )
    max_connections_per_user: int = setting(
        5,
        count(1, 1_000_000),
        "Connections of one user over all workers; past it the oldest is closed with 4009.",
    )
    max_connections_per_project: int = setting(
        50,
        count(1, 1_000_000),
        "Connections of one project over all workers; past it a new one gets HTTP 503.",
    )
    max_idle_connections_per_address: int = setting(
        500,
        count(1, 100_000),
        "TCP connections of one client address (of IPv6: of one network of 64 bits) that wait for "
        "a request; past it the one that has waited longest is closed, which browsers expect. Of "
        "trusted proxies none is. Six of each of 80 people behind one address.",
    )
    max_strangers_per_address: int = setting(
        100,
        count(1, 1000),
        "SockJS sessions of one client address (of IPv6: of one network of 64 bits) that have not "
        "said hello yet; past it a new one gets HTTP 429. A worker lets 1,000 of all addresses "
        "wait: nobody without a token can take all of these places.",
    )
    max_requests_per_s_per_user: float = setting(
        200.0,
        rate(0.1, 1_000_000),
        "Steady rate of HTTP requests of one user at one worker; those of ten seconds may come at "
        "once. Past it a request gets HTTP 429. Enough for scripts that go through thousands of "
        "things; the role service is not bounded by it, but by what can be stored.",
    )
    max_requests_per_s_per_address: float = setting(
        200.0,
        rate(0.1, 1_000_000),
        "The same for one client address (of IPv6: one network of 64 bits) without a valid token, "
        "pages and their files included: ten seconds of it are 50 people behind one address who "
        "load the page at once.",
    )
    max_connects_per_s_per_user: float = setting(
        50.0,
        rate(0.1, 1_000_000),
        "Steady rate at which one user may open connections at one worker: WebSockets, event "
        "streams and SockJS sessions. Those of ten seconds may come at once, or twice "
        "`RT_MAX_CONNECTIONS_PER_USER` if that is more; past it one gets HTTP 429.",
    )
    max_connects_per_s_per_address: float = setting(
        50.0,
        rate(0.1, 1_000_000),
        "The same for one client address without a valid token. A SockJS session is counted here "
        "when it is opened, and as its user's once it has said hello.",
    )
    lease_s: float = setting(
        15.0,
        seconds(0.2, 3600),
        "How long connections, runs and workers count as alive after their last sign of life: "
        "a dead worker's places are free after this time.",
    )
    lock_lease_s: float = setting(
        120.0,
        seconds(1, 3600),
        "How long a project's lock is held after its holder's last renewal. Twice the minute to "
        "which browsers slow down the timers of a page in the background.",
    )
    outbox_bytes: int = setting(
        MIB,
        size(4 * KIB, GIB),
        "Most bytes that wait for one slow connection; past it, it is closed with 4008 and can "
        "resume.",
    )
    write_timeout_s: float = setting(
        30.0,
        seconds(0.1, 3600),
        "How long a client may take nothing of an HTTP answer; past it the connection is ended. As "
        "long as a train's tunnel, and no answer is kept for ever.",
    )
    max_unread_bytes: int = setting(
        8 * MIB,
        size(64 * KIB, GIB),
        "Most bytes of HTTP answers that wait for one user (without a token: for one address); "
        "past it requests get HTTP 429 until they are read. Room for several full pages at once, "
        "beyond what the kernel holds.",
    )
    catch_up_bytes: int = setting(
        32 * MIB,
        size(MIB, 64 * GIB),
        "Most bytes of the log that are on their way to clients that catch up, on one worker: half "
        "are pages that those share who resume nearby, half have not been taken by their sockets "
        "yet. Past it they are served in turn, so that a thousand that come back at once, or that "
        "do not read, take no more memory than this.",
    )
    max_message_bytes: int = setting(
        64 * KIB, size(256, 64 * MIB), "Largest message that is taken from a client."
    )
    max_messages_per_s: float = setting(
        50.0,
        rate(0.1, 100_000),
        "Steady rate of messages of one connection; past it and the burst, it is closed with 4029. "
        "A user may send as many at one worker as `RT_MAX_CONNECTIONS_PER_USER` of these, over "
        "however many connections one after the other. What a service publishes does not count.",
    )
    max_message_burst: int = setting(
        100,
        count(1, 1_000_000),
        "Messages that one connection may send at once above the steady rate.",
    )
