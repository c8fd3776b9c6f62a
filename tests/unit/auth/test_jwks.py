import asyncio
import contextlib
import gzip
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from structlog.testing import capture_logs
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.web import Application, RequestHandler

from rtserver.auth.jwks import (
    MAX_KEY_SET_BYTES,
    JwksCache,
    KeyConfigurationError,
    KeySetError,
    KeysUnavailableError,
    PublicKey,
    UnknownKeyError,
    algorithms_of,
    parse_key_set,
)
from tests.support.certificates import self_signed
from tests.support.lateness import lateness
from tests.support.recorder import LogRecorder

Jwk = dict[str, Any]


@pytest.fixture(autouse=True)
def _errors_of_the_issuer(logs: LogRecorder) -> None:
    """Tornado logs the statuses that the issuer of these tests answers with."""
    logs.expect("tornado.access")


class Clock:
    """Monotonic time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Issuer:
    """What the key server answers, and how often it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.requests = 0
        self.arrived = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""

    def publish(self, *keys: Jwk) -> None:
        self.status = 200
        self.chunks = [json.dumps({"keys": keys}).encode()]


class KeysHandler(RequestHandler):
    def initialize(self, issuer: Issuer) -> None:
        self.issuer = issuer

    async def get(self) -> None:
        self.issuer.requests += 1
        self.issuer.arrived.set()
        self.set_status(self.issuer.status)
        for name, value in self.issuer.headers.items():
            self.set_header(name, value)
        if len(self.issuer.chunks) > 1:
            await self.flush()  # no Content-Length: chunked
        for chunk in self.issuer.chunks:
            self.write(chunk)
            if len(self.issuer.chunks) > 1:
                await self.flush()
        await self.issuer.may_answer.wait()


def serve(
    issuer: Issuer, io_loop: IOLoop, ssl_options: ssl.SSLContext | None = None
) -> Iterator[Issuer]:
    application = Application([("/keys", KeysHandler, {"issuer": issuer})])
    server = HTTPServer(application, ssl_options=ssl_options)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    scheme = "http" if ssl_options is None else "https"
    issuer.url = f"{scheme}://localhost:{sockets[0].getsockname()[1]}/keys"
    yield issuer
    issuer.may_answer.set()
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=5)


@pytest.fixture
def issuer(io_loop: IOLoop) -> Iterator[Issuer]:
    yield from serve(Issuer(), io_loop)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(io_loop: IOLoop, issuer: Issuer, clock: Clock) -> Iterator[JwksCache]:
    cache = JwksCache(issuer.url, ttl_s=300.0, clock=clock)
    yield cache
    issuer.may_answer.set()
    io_loop.run_sync(cache.close, timeout=10)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def rsa_jwk(key: rsa.RSAPrivateKey, **members: object) -> Jwk:
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | members


def ec_jwk(
    key: ec.EllipticCurvePrivateKey | None = None,
    *,
    curve: ec.EllipticCurve | None = None,
    **m: object,
) -> Jwk:
    key = key or ec.generate_private_key(curve or ec.SECP256R1())
    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | m


def ed_jwk(key: ed25519.Ed25519PrivateKey | None = None, **members: object) -> Jwk:
    key = key or ed25519.Ed25519PrivateKey.generate()
    return OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | members


# Lookups


@pytest.mark.gen_test
async def test_a_key_is_found_by_its_id_for_the_algorithms_of_its_type(
    issuer: Issuer, cache: JwksCache, rsa_key: rsa.RSAPrivateKey
) -> None:
    ec_key, ed_key = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    issuer.publish(rsa_jwk(rsa_key, kid="r"), ec_jwk(ec_key, kid="e"), ed_jwk(ed_key, kid="o"))

    assert await cache.key("r", "RS256") == rsa_key.public_key()
    assert await cache.key("e", "ES256") == ec_key.public_key()
    assert await cache.key("o", "EdDSA") == ed_key.public_key()
    for kid, algorithm in [("r", "ES256"), ("e", "RS256"), ("e", "ES384"), ("o", "ES256")]:
        with pytest.raises(UnknownKeyError):
            await cache.key(kid, algorithm)
    for algorithm in ("HS256", "none", "", "rs256"):
        with pytest.raises(UnknownKeyError):
            await cache.key("r", algorithm)
    assert issuer.requests == 1


@pytest.mark.gen_test
async def test_the_same_id_may_name_a_key_of_each_type(issuer: Issuer, cache: JwksCache) -> None:
    # RFC 7517 section 4.5.
    ec_key, ed_key = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    issuer.publish(ec_jwk(ec_key, kid="k"), ed_jwk(ed_key, kid="k"))
    assert await cache.key("k", "ES256") == ec_key.public_key()
    assert await cache.key("k", "EdDSA") == ed_key.public_key()


@pytest.mark.gen_test
async def test_without_a_key_id_the_key_must_be_the_only_one_of_its_kind(
    issuer: Issuer, cache: JwksCache
) -> None:
    ed_key = ed25519.Ed25519PrivateKey.generate()
    issuer.publish(ed_jwk(ed_key), ec_jwk(kid="1"), ec_jwk(kid="2"))
    assert await cache.key(None, "EdDSA") == ed_key.public_key()
    with pytest.raises(UnknownKeyError):
        await cache.key(None, "ES256")


@pytest.mark.gen_test
async def test_lookups_at_once_share_one_fetch(issuer: Issuer, cache: JwksCache) -> None:
    issuer.publish(ed_jwk(kid="a"), ed_jwk(kid="b"))
    issuer.may_answer.clear()
    lookups = [asyncio.ensure_future(cache.key("ab"[n % 2], "EdDSA")) for n in range(100)]
    await asyncio.wait_for(issuer.arrived.wait(), 5)
    # The server and a hundred lookups share this loop, so nothing here can have blocked it.
    assert not any(lookup.done() for lookup in lookups)
    issuer.may_answer.set()
    keys = await asyncio.wait_for(asyncio.gather(*lookups), 5)
    assert len(set(map(id, keys))) == 2
    assert issuer.requests == 1


@pytest.mark.gen_test
async def test_a_lookup_that_is_cancelled_leaves_the_fetch_to_the_others(
    issuer: Issuer, cache: JwksCache
) -> None:
    issuer.publish(ed_jwk(kid="a"))
    issuer.may_answer.clear()
    first, second = (asyncio.ensure_future(cache.key("a", "EdDSA")) for _ in range(2))
    await asyncio.wait_for(issuer.arrived.wait(), 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    issuer.may_answer.set()
    await asyncio.wait_for(second, 5)
    assert issuer.requests == 1


# Rotation


@pytest.mark.gen_test
async def test_an_unknown_key_id_is_looked_up_anew_once_the_cool_down_is_over(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="old"))
    await cache.key("old", "EdDSA")
    issuer.publish(ed_jwk(kid="old"), ed_jwk(kid="new"))

    clock.now_s += 9.9
    for _ in range(20):
        with pytest.raises(UnknownKeyError):
            await cache.key("new", "EdDSA")
    assert issuer.requests == 1

    clock.now_s += 0.1
    await cache.key("new", "EdDSA")
    assert issuer.requests == 2


@pytest.mark.gen_test
async def test_strangers_key_ids_cost_one_fetch_a_cool_down(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="known"))
    for second in range(60):
        clock.now_s = 1000.0 + second
        for attempt in range(3):
            with pytest.raises(UnknownKeyError):
                await cache.key(f"made-up-{second}-{attempt}", "EdDSA")
    assert issuer.requests == 6


@pytest.mark.gen_test
async def test_a_withdrawn_key_is_refused_when_its_time_to_live_is_over(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="old"))
    await cache.key("old", "EdDSA")
    issuer.publish(ed_jwk(kid="new"))

    clock.now_s += 299.9
    await cache.key("old", "EdDSA")
    assert issuer.requests == 1
    clock.now_s += 0.1
    with pytest.raises(UnknownKeyError):
        await cache.key("old", "EdDSA")
    await cache.key("new", "EdDSA")
    assert issuer.requests == 2


@pytest.mark.gen_test
async def test_lookups_at_the_end_of_the_time_to_live_all_wait_for_the_new_keys(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="old"))
    await cache.key("old", "EdDSA")
    issuer.publish(ed_jwk(kid="new"))
    issuer.arrived.clear()
    issuer.may_answer.clear()
    clock.now_s += 300

    lookups = [asyncio.ensure_future(cache.key("old", "EdDSA")) for _ in range(5)]
    await asyncio.wait_for(issuer.arrived.wait(), 5)
    lookups.append(asyncio.ensure_future(cache.key("old", "EdDSA")))
    issuer.may_answer.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*lookups, return_exceptions=True), 5)
    assert [type(outcome) for outcome in outcomes] == [UnknownKeyError] * 6


@pytest.mark.gen_test
async def test_an_emptied_set_withdraws_every_key(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    await cache.key("k", "EdDSA")
    issuer.publish()
    clock.now_s += 300
    with pytest.raises(UnknownKeyError):
        await cache.key("k", "EdDSA")


# An issuer in trouble


async def free_port_url() -> str:
    (socket,) = bind_sockets(0, "127.0.0.1")
    port = socket.getsockname()[1]
    socket.close()
    return f"http://127.0.0.1:{port}/keys"


@pytest.mark.gen_test
async def test_an_issuer_that_was_never_reached_leaves_keys_unavailable(clock: Clock) -> None:
    cache = JwksCache(await free_port_url(), clock=clock)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(KeysUnavailableError):
                await cache.key("k", "EdDSA")
    # Tried once: the others came within the cool-down.
    assert [entry["event"] for entry in logs] == ["jwks_fetch_failed"]
    assert logs[0]["reason"] == "nobody listens there"
    assert await cache.try_out(["EdDSA"]) == "nobody listens there"
    await cache.close()


@pytest.mark.gen_test
async def test_an_operator_is_told_what_is_wrong_with_a_key_set(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    assert await cache.try_out(["RS256", "EdDSA"]) is None
    assert await cache.try_out(["RS256", "ES256"]) == "it has no key for any of ES256, RS256"
    issuer.status = 404
    clock.now_s += 3600
    assert await cache.try_out(["EdDSA"]) == "the reply has HTTP status 404"


@pytest.mark.gen_test
async def test_a_compressed_reply_is_not_unpacked(issuer: Issuer, cache: JwksCache) -> None:
    """A few bytes could unpack to gigabytes; the bound on a reply's size is one on memory too."""
    issuer.publish(ed_jwk(kid="k"))
    issuer.chunks = [gzip.compress(issuer.chunks[0])]
    issuer.headers["Content-Encoding"] = "gzip"
    with pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    assert issuer.requests == 1


@pytest.mark.gen_test
async def test_a_cache_recovers_when_the_issuer_does(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.status = 503
    with pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    issuer.publish(ed_jwk(kid="k"))
    with pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    clock.now_s += 10
    await cache.key("k", "EdDSA")


@pytest.mark.gen_test
async def test_stale_keys_serve_while_the_issuer_is_down(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    key = await cache.key("k", "EdDSA")
    issuer.status = 500
    clock.now_s += 300
    with capture_logs() as logs:
        assert await cache.key("k", "EdDSA") == key
        assert await cache.key("k", "EdDSA") == key
    assert [(e["event"], e["keys_kept"]) for e in logs] == [("jwks_fetch_failed", 1)]
    assert issuer.requests == 2
    # A key that is not among them is unknown, as the last good set says.
    with pytest.raises(UnknownKeyError):
        await cache.key("other", "EdDSA")


@pytest.mark.gen_test
async def test_an_outage_holds_up_one_lookup_and_not_each(
    issuer: Issuer, cache: JwksCache, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    key = await cache.key("k", "EdDSA")
    issuer.status = 500
    clock.now_s += 300
    await cache.key("k", "EdDSA")

    issuer.arrived.clear()
    issuer.may_answer.clear()
    clock.now_s += 10
    # It tries again meanwhile, and the lookup does not wait for how that ends.
    assert await cache.key("k", "EdDSA") == key
    await asyncio.wait_for(issuer.arrived.wait(), 5)
    assert await cache.key("k", "EdDSA") == key
    assert issuer.requests == 3


@pytest.mark.gen_test
async def test_a_slow_issuer_is_given_up_on_in_time(issuer: Issuer) -> None:
    issuer.may_answer.clear()
    cache = JwksCache(issuer.url, timeout_s=0.2)
    with lateness() as late_s:
        started_s = asyncio.get_running_loop().time()
        with capture_logs() as logs, pytest.raises(KeysUnavailableError):
            await cache.key("k", "EdDSA")
        assert asyncio.get_running_loop().time() - started_s < 2 + 5 * late_s()
    assert logs[0]["reason"] == "it does not answer in time"
    await cache.close()


@pytest.mark.gen_test
async def test_an_issuer_that_stops_in_mid_reply_is_given_up_on_in_time(issuer: Issuer) -> None:
    issuer.chunks = [b'{"keys":', b" ["]  # flushed, and then nothing more
    issuer.may_answer.clear()
    cache = JwksCache(issuer.url, timeout_s=0.2)
    with pytest.raises(KeysUnavailableError):
        await asyncio.wait_for(cache.key("k", "EdDSA"), 10)
    await cache.close()


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("own_client", [True, False])
@pytest.mark.gen_test
async def test_a_huge_reply_is_refused(
    issuer: Issuer, clock: Clock, parts: int, own_client: bool
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    filler = b" " * (MAX_KEY_SET_BYTES // parts)
    issuer.chunks = (
        [*issuer.chunks, *[filler] * parts] if parts > 1 else [issuer.chunks[0] + filler]
    )
    client = None if own_client else SimpleAsyncHTTPClient(force_instance=True)
    cache = JwksCache(issuer.url, http_client=client, clock=clock)
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    # Its own client hangs up at the bound; another's may read all of it first.
    larger = f"the reply is larger than {MAX_KEY_SET_BYTES} bytes"
    assert logs[0]["reason"] == ("HTTPStreamClosedError" if own_client else larger)
    await cache.close()
    if client is not None:
        client.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Sign in</title>",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": 5}',
        b'{"keys": {"kid": "k"}}',
        b'{"keys": [',
        b'{"keys": ["\xff\xfe"]}',
        b"[" * 100_000,
        b'{"keys":' + b"[" * 100_000,
    ],
)
@pytest.mark.gen_test
async def test_garbage_does_not_take_the_place_of_keys(
    issuer: Issuer, cache: JwksCache, clock: Clock, body: bytes
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    key = await cache.key("k", "EdDSA")
    issuer.chunks = [body]
    clock.now_s += 300
    with capture_logs() as logs:
        assert await cache.key("k", "EdDSA") == key
    assert [e["event"] for e in logs] == ["jwks_fetch_failed"]
    assert logs[0]["reason"] == "the reply is not a JWK Set"


@pytest.mark.gen_test
async def test_a_redirect_is_not_followed(issuer: Issuer, cache: JwksCache) -> None:
    issuer.publish(ed_jwk(kid="k"))
    issuer.status = 302
    issuer.headers = {"Location": issuer.url}
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    assert issuer.requests == 1
    assert logs[0]["reason"] == "the reply has HTTP status 302"


@pytest.mark.gen_test
async def test_an_error_nobody_thought_of_reaches_the_log_and_not_the_waiters(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SimpleAsyncHTTPClient(force_instance=True)
    monkeypatch.setattr(client, "fetch", lambda *_args, **_kwargs: 1 / 0)
    cache = JwksCache(issuer.url, http_client=client, clock=clock)
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    assert logs[0]["log_level"] == "error"
    assert logs[0]["exc_info"]
    await cache.close()
    client.close()


# The end


@pytest.mark.gen_test
async def test_closing_waits_for_the_fetch_and_no_other_follows(
    issuer: Issuer, clock: Clock
) -> None:
    issuer.publish(ed_jwk(kid="k"))
    issuer.may_answer.clear()
    cache = JwksCache(issuer.url, clock=clock)
    lookup = asyncio.ensure_future(cache.key("k", "EdDSA"))
    await asyncio.wait_for(issuer.arrived.wait(), 5)
    closing = asyncio.ensure_future(cache.close())
    done, _ = await asyncio.wait({closing}, timeout=0.05)
    assert not done  # the fetch is held up, and so is closing
    issuer.may_answer.set()
    await asyncio.wait_for(closing, 5)
    await asyncio.wait_for(lookup, 5)

    clock.now_s += 1000
    await cache.key("k", "EdDSA")
    with pytest.raises(UnknownKeyError):
        await cache.key("other", "EdDSA")
    assert issuer.requests == 1
    await cache.close()


@pytest.mark.gen_test
async def test_a_client_that_was_handed_in_stays_open(issuer: Issuer) -> None:
    issuer.publish(ed_jwk(kid="k"))
    client = SimpleAsyncHTTPClient(force_instance=True)
    cache = JwksCache(issuer.url, http_client=client)
    await cache.key("k", "EdDSA")
    await cache.close()
    assert (await client.fetch(issuer.url)).code == 200
    client.close()


# Where keys may come from


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.json",
        "/var/keys.json",
        "file:///etc/keys.json",
        "ftp://example.org/keys",
        "https://",
        "http://:80/keys",
        "http://example.org:0/keys",
        "http://[::1/keys",
        "http://example.org:99999/keys",
        "https://user:password@example.org/keys",
        "https://user@example.org/keys",
    ],
)
def test_only_plain_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(KeyConfigurationError) as caught:
        JwksCache(url)
    assert "password@" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, signed by itself, and its key in one file."""
    return self_signed(tmp_path / "localhost.pem")


@pytest.fixture
def secure_issuer(io_loop: IOLoop, certificate: Path) -> Iterator[Issuer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from serve(Issuer(), io_loop, context)


@pytest.mark.gen_test
async def test_keys_travel_over_tls(secure_issuer: Issuer, certificate: Path) -> None:
    secure_issuer.publish(ed_jwk(kid="k"))
    client = SimpleAsyncHTTPClient(force_instance=True, defaults={"ca_certs": str(certificate)})
    cache = JwksCache(secure_issuer.url, http_client=client)
    await cache.key("k", "EdDSA")
    await cache.close()
    client.close()


@pytest.mark.gen_test
async def test_an_issuer_whose_certificate_nobody_vouches_for_is_not_believed(
    secure_issuer: Issuer,
) -> None:
    secure_issuer.publish(ed_jwk(kid="k"))
    cache = JwksCache(secure_issuer.url)
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await cache.key("k", "EdDSA")
    assert logs[0]["reason"] == "its certificate is not trusted (self-signed certificate)"
    assert secure_issuer.requests == 0
    await cache.close()


# What a set may hold


def test_members_that_are_no_usable_public_key_are_passed_over(rsa_key: rsa.RSAPrivateKey) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    bitcoin = ec.generate_private_key(ec.SECP256K1())
    good = ed_jwk(kid="good")
    members: list[object] = [
        5,
        None,
        {},
        {"kty": "oct", "k": "c2VjcmV0LXRoYXQtZXZlcnlib2R5LW1heS1yZWFkLWhlcmU", "kid": "oct"},
        {"kty": ["RSA"], "kid": "list"},
        RSAAlgorithm.to_jwk(rsa_key, as_dict=True) | {"kid": "private"},
        RSAAlgorithm.to_jwk(rsa_key, as_dict=True) | {"kid": "private", "key_ops": ["verify"]},
        ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True),
        rsa_jwk(weak, kid="weak"),
        rsa_jwk(rsa_key, kid="encryption", use="enc"),
        rsa_jwk(rsa_key, kid="encryption", alg="RSA-OAEP"),
        rsa_jwk(rsa_key, kid="none", alg="none"),
        rsa_jwk(rsa_key, kid="confused", alg="HS256"),
        rsa_jwk(rsa_key, kid="confused", alg="ES256"),
        rsa_jwk(rsa_key, kid="null", alg=None),
        rsa_jwk(rsa_key, kid="operations", key_ops=["encrypt"]),
        rsa_jwk(rsa_key, kid="operations", key_ops="verify"),
        rsa_jwk(rsa_key, kid=5),
        rsa_jwk(rsa_key, n=5),
        rsa_jwk(rsa_key, n="!!"),
        {"kty": "RSA", "e": "AQAB"},
        ec_jwk(bitcoin, kid="bitcoin"),
        ec_jwk(kid="off-the-curve", y=ec_jwk()["y"]),
        ec_jwk(kid="short", x="AQAB"),
        ed_jwk(kid="short", x="AQAB"),
        ed_jwk(kid="unknown", crv="X25519"),
        good,
    ]
    with capture_logs() as logs:
        keys = parse_key_set(json.dumps({"keys": members}).encode())
    assert [key.kid for key in keys] == ["good"]
    skipped = list(range(len(members) - 1))
    assert logs == [{"event": "jwks_keys_skipped", "log_level": "info", "positions": skipped}]


def test_a_key_that_names_its_algorithm_serves_that_one_alone(rsa_key: rsa.RSAPrivateKey) -> None:
    body = json.dumps({"keys": [rsa_jwk(rsa_key, alg="RS512", use="sig"), rsa_jwk(rsa_key)]})
    declared, free = parse_key_set(body.encode())
    assert declared.algorithms == ("RS512",)
    assert set(free.algorithms) == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (ec.generate_private_key(ec.SECP256R1()).public_key(), ("ES256",)),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), ("ES384",)),
        (ec.generate_private_key(ec.SECP521R1()).public_key(), ("ES512",)),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), ()),
        (ed25519.Ed25519PrivateKey.generate().public_key(), ("EdDSA",)),
        (ed448.Ed448PrivateKey.generate().public_key(), ("EdDSA",)),
        (ed25519.Ed25519PrivateKey.generate(), ()),
        (b"a secret", ()),
        (None, ()),
    ],
)
def test_a_key_serves_the_algorithms_of_its_type_and_curve(
    key: PublicKey | None, algorithms: tuple[str, ...]
) -> None:
    assert algorithms_of(key) == algorithms


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
jwk_like = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]) | json_values},
    optional={
        member: st.text(max_size=50) | json_values
        for member in ("kid", "alg", "use", "key_ops", "n", "e", "d", "crv", "x", "y", "k")
    }
    | {"crv": st.sampled_from(["P-256", "P-384", "Ed25519", "Ed448"])},
)


@settings(deadline=None)
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_reply_breaks_the_parser(body: bytes) -> None:
    with contextlib.suppress(KeySetError):
        parse_key_set(body)


@settings(deadline=None)
@given(st.lists(jwk_like | json_values, max_size=4))
def test_no_member_breaks_the_parser(members: list[object]) -> None:
    good = ed_jwk(kid="the last one")
    keys = parse_key_set(json.dumps({"keys": [*members, good]}).encode())
    assert keys[-1].kid == "the last one"
    assert all(key.algorithms for key in keys)
