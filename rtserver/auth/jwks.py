"""Public keys from a JWK Set (RFC 7517) at a URL: fetched, kept, and replaced as they rotate."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

MAX_KEY_SET_BYTES = 256 * 1024
MIN_RSA_BITS = 2048  # RFC 7518 section 3.3

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# By the key's type alone. PyJWT's own PyJWKSet lets a member's "alg" choose the parser: one with
# "none" breaks the whole set. It also refuses a set without keys: withdrawn ones would stay.
# No "oct": a secret that can be read at a URL is no secret.
_PARSERS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}

log = structlog.get_logger()


class KeyConfigurationError(ValueError):
    """The keys that are configured can't be used; the message tells people what to mend."""


class KeySetError(ValueError):
    """What the URL answered is no key set; the message says what it was, without quoting it."""


class UnknownKeyError(LookupError):
    """The key set was read, and has no key for what a token asks for."""


class KeysUnavailableError(Exception):
    """The key set could never be fetched, so that nothing is known about any key."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key of a JWK Set that can verify signatures.

    Attributes:
        kid: The key's name, where it has one.
        algorithms: What it may verify (RFC 7518 section 3.1): one where the JWK names its own.
        key: The key itself.
    """

    kid: str | None
    algorithms: tuple[str, ...]
    key: PublicKey


def algorithms_of(key: object) -> tuple[str, ...]:
    """The JWS algorithms that a key may verify, the usual one first.

    Empty for a private key, an RSA key of less than 2048 bits and a curve that JWS has no name
    for. A key is never used for an algorithm that is not listed here.
    """
    match key:
        case RSAPublicKey():
            return _RSA_ALGORITHMS if key.key_size >= MIN_RSA_BITS else ()
        case EllipticCurvePublicKey():
            algorithm = _CURVE_ALGORITHMS.get(key.curve.name)
            return (algorithm,) if algorithm else ()
        case Ed25519PublicKey() | Ed448PublicKey():
            return ("EdDSA",)
        case _:
            return ()


class _KeySet(msgspec.Struct):
    keys: list[Any]


def parse_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Reads a JWK Set, passing over what is not a usable public key (RFC 7517 section 5).

    Raises:
        KeySetError: The body is no JWK Set.
    """
    try:
        members = msgspec.json.decode(body, type=_KeySet).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeySetError("the reply is not a JWK Set") from None
    parsed = [_parse_key(member) for member in members]
    if None in parsed:
        # By position, since a member that is not as it should be may not have a usable name.
        positions = [position for position, key in enumerate(parsed) if key is None]
        log.info("jwks_keys_skipped", positions=positions)
    return tuple(key for key in parsed if key is not None)


def _parse_key(jwk: object) -> VerificationKey | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    kid = jwk.get("kid")
    parser = _PARSERS.get(str(jwk.get("kty")))
    if parser is None or not isinstance(operations, list) or "verify" not in operations:
        return None
    if kid is not None and not isinstance(kid, str):
        return None
    try:
        key = parser(jwk)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError, LookupError):
        return None  # the caller says so in the log
    algorithms = algorithms_of(key)
    if "alg" in jwk:
        algorithms = tuple(name for name in algorithms if name == jwk["alg"])
    if not algorithms or not isinstance(key, PublicKey):
        return None
    return VerificationKey(kid, algorithms, key)


class JwksCache:
    """The keys at a JWKS URL, by key id and algorithm.

    Keys are fetched when first asked for, again when they are older than ``ttl_s``, and when a
    token names a key that is not among them, which is how a rotation shows. Lookups that come
    while a fetch is under way wait for that one. A fetch, whatever its outcome, is followed by
    at least ``cooldown_s`` without one, so strangers' tokens can't make the server hammer its
    issuer. While the issuer can't be reached, or answers with something else than a key set,
    the last good keys stay in use, and lookups that they satisfy no longer wait.

    A set that parses replaces the last one whole, so a key that the issuer withdrew is refused
    ``ttl_s`` later at the latest. Redirects are not followed: they would let a reply over
    cleartext stand in for one over TLS.

    Args:
        url: An ``http`` or ``https`` URL without a user name.
        http_client: A client to use; it is not closed here. By default one that is made at
            the first fetch, which takes no reply larger than `MAX_KEY_SET_BYTES`.
        ttl_s: Age in seconds from which keys are fetched anew.
        cooldown_s: The least time between the end of one fetch and the start of the next.
        timeout_s: How long a fetch may take as a whole.
        clock: Monotonic time in seconds.

    Raises:
        KeyConfigurationError: The URL is not one that can be fetched.
    """

    def __init__(
        self,
        url: str,
        *,
        http_client: AsyncHTTPClient | None = None,
        ttl_s: float = 60.0,
        cooldown_s: float = 10.0,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _checked_url(url)
        self._client = http_client
        self._owns_client = http_client is None
        self._ttl_s = ttl_s
        self._cooldown_s = cooldown_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._problem: str | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._closed = False

    async def key(self, kid: str | None, algorithm: str) -> PublicKey:
        """Finds the key that a token's header asks for, fetching where that may help.

        Args:
            kid: The key id; without one the key must be the only one for the algorithm.
            algorithm: The JWS algorithm, which the key must be meant for.

        Raises:
            UnknownKeyError: There is no such key.
            KeysUnavailableError: The keys could not be fetched, now or before.
        """
        found = self._find(kid, algorithm)
        if self._fetched_at is None or self._clock() - self._fetched_at >= self._ttl_s:
            fetch = self._start_fetch()
            if found is None or self._problem is None:
                await _wait_for(fetch)
                found = self._find(kid, algorithm)
        if found is None:
            await _wait_for(self._start_fetch())
            found = self._find(kid, algorithm)
        if found is not None:
            return found
        if self._fetched_at is None:
            raise KeysUnavailableError("The key set could not be fetched")
        raise UnknownKeyError("The key set has no such key")

    async def try_out(self, algorithms: Iterable[str]) -> str | None:
        """Fetches the key set once, for an operator; what is wrong with it, None where nothing is.

        Args:
            algorithms: Those that tokens may be signed with.
        """
        await _wait_for(self._start_fetch())
        if self._problem is not None:
            return self._problem
        if not any(name in entry.algorithms for entry in self._keys for name in algorithms):
            return f"it has no key for any of {', '.join(sorted(algorithms))}"
        return None

    async def close(self) -> None:
        """Waits for a fetch that is under way, at most its time-out, and lets go of the client.

        Tornado's client can't abandon a request, so cancelling would leave its socket behind.
        """
        self._closed = True
        await _wait_for(self._fetch)
        if self._owns_client and self._client is not None:
            self._client.close()
            self._client = None

    def _find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        suited = [entry for entry in self._keys if algorithm in entry.algorithms]
        if kid is not None:
            suited = [entry for entry in suited if entry.kid == kid]
        elif len(suited) > 1:
            return None
        return suited[0].key if suited else None

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """Starts a fetch, or joins the one under way; None while it must not be tried."""
        if self._fetch is not None and not self._fetch.done():
            return self._fetch
        cooling = (
            self._attempted_at is not None and self._clock() - self._attempted_at < self._cooldown_s
        )
        if self._closed or cooling:
            return None
        self._fetch = asyncio.get_running_loop().create_task(self._refresh(), name="jwks-fetch")
        return self._fetch

    async def _refresh(self) -> None:
        """Replaces the keys, or keeps them and says in the log why; it raises nothing."""
        problem: str | None = "unexpected"
        try:
            keys = parse_key_set(await self._download())
            problem = None
        except (KeySetError, HTTPError, OSError) as error:
            problem = _reason(error)
            log.warning("jwks_fetch_failed", reason=problem, keys_kept=len(self._keys))
        except Exception:  # those who wait must get an answer, and the log gets the rest
            log.exception("jwks_fetch_failed", reason=problem, keys_kept=len(self._keys))
        else:
            self._keys = keys
            self._fetched_at = self._clock()
            log.info("jwks_fetched", keys=len(keys))
        finally:
            self._problem = problem
            self._attempted_at = self._clock()

    async def _download(self) -> bytes:
        if self._client is None:
            # Made here and not earlier, because a client belongs to the loop that is running.
            self._client = SimpleAsyncHTTPClient(
                force_instance=True, max_clients=1, max_body_size=MAX_KEY_SET_BYTES
            )
        request = HTTPRequest(
            self._url,
            headers={"Accept": "application/jwk-set+json, application/json"},
            connect_timeout=self._timeout_s,
            request_timeout=self._timeout_s,
            follow_redirects=False,
            decompress_response=False,  # so that the bound on the size is one on memory too
        )
        response = await self._client.fetch(request, raise_error=False)
        if response.code != 200:
            raise KeySetError(f"the reply has HTTP status {response.code}")
        if len(response.body) > MAX_KEY_SET_BYTES:
            raise KeySetError(f"the reply is larger than {MAX_KEY_SET_BYTES} bytes")
        return response.body


async def _wait_for(fetch: asyncio.Task[None] | None) -> None:
    """Waits for a shared fetch; a waiter that is cancelled does not take it along."""
    if fetch is not None:
        await asyncio.wait({fetch})


def _reason(error: KeySetError | HTTPError | OSError) -> str:
    """Why a fetch failed. Nothing of a client's own message, which may quote a secret query."""
    match error:
        case KeySetError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case socket.gaierror():
            return "there is no host of that name"
        case ConnectionRefusedError():
            return "nobody listens there"
        case HTTPTimeoutError():
            return "it does not answer in time"
        case _:
            return getattr(error, "strerror", None) or type(error).__name__


def _checked_url(url: str) -> str:
    problem = KeyConfigurationError("The JWKS URL must be an absolute http or https URL")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise problem
    if parts.username is not None or parts.password is not None:
        raise KeyConfigurationError("The JWKS URL must not hold a user name or password")
    return url
