"""JSON Web Tokens (RFC 7519): verified for clients, signed for operators."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import exceptions as jwt_errors
from jwt.algorithms import HMACAlgorithm
from jwt.types import Options

from rtserver.auth.jwks import (
    JwksCache,
    KeyConfigurationError,
    KeysUnavailableError,
    PublicKey,
    UnknownKeyError,
    algorithms_of,
)
from rtserver.auth.revocations import Revocations
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import AnsweredError, StoreUnavailableError
from rtserver.model.identity import Claims, ClaimsError, Identity, Role

__all__ = ["KeyConfigurationError", "RefusalReason", "TokenRefused", "TokenSigner", "TokenVerifier"]

MAX_TOKEN_BYTES = 8 * 1024
MAX_KNOWN_TOKENS = 1024
MAX_PUBLIC_KEYS = 8
"""A token with a wrong signature costs a check with each of them."""
# How far ahead of ours an issuer's clock may run, beyond the leeway: its `nbf` is the moment of
# issue as often as not, and an `iat` further ahead shows that its `exp` can't be believed either.
MAX_CLOCK_SKEW_S = 60.0

# RFC 7518 section 3.2: a secret is at least as long as the hash's output, in bytes.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
ASYMMETRIC = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
_JWKS_DEFAULTS = ("RS256", "ES256", "EdDSA")

# The types and the times of the claims are checked here: pyjwt would take a string or a boolean
# for a time, and knows no clock but its own. It checks signature, audience and issuer.
_DECODE_OPTIONS: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
    "enforce_minimum_key_length": True,
}

_Key: TypeAlias = str | PublicKey
_PEM_BLOCK = re.compile(r"-----BEGIN [^-]{1,40}-----[^-]*-----END [^-]{1,40}-----")
RefusalReason: TypeAlias = Literal[
    "missing",
    "too_long",
    "malformed",
    "algorithm_not_allowed",
    "unknown_key",
    "keys_unavailable",
    "bad_signature",
    "wrong_audience",
    "wrong_issuer",
    "claims",
    "not_yet_valid",
    "expired",
    "revoked",
    "other_user",
]

_MESSAGES: dict[RefusalReason, str] = {
    "missing": "A token is needed, and there was none.",
    "too_long": f"The token is longer than {MAX_TOKEN_BYTES} bytes.",
    "malformed": "The token is not a well-formed JSON Web Token.",
    "algorithm_not_allowed": "The token is signed with an algorithm that is not accepted here.",
    "unknown_key": "The token is signed with a key that is not known here.",
    "keys_unavailable": "The keys to check the token with could not be fetched. Try again later.",
    "bad_signature": "The token's signature is wrong.",
    "wrong_audience": "The token is not meant for this server.",
    "wrong_issuer": "The token does not come from the issuer that is trusted here.",
    "claims": "A claim of the token is missing or not as it should be.",
    "not_yet_valid": "The token is not valid yet.",
    "expired": "The token has expired.",
    "revoked": "The token was revoked by an administrator. Get a new one.",
    "other_user": "The token is another user's than the connection's.",
}


class TokenRefused(AnsweredError):  # noqa: N818 - an outcome that the protocol names, not a fault
    """A token does not say who its bearer is.

    Attributes:
        reason: Why, for machines: logs, metrics, audit. ``keys_unavailable`` is the one that
            is no fault of the token's.
        message: Why, for people. It quotes nothing of the token, so it may be sent and logged.
        retry_after_s: When the same token will do; None where that is never, or not known.
    """

    status = 401
    reason: RefusalReason
    close_code = CloseCode.UNAUTHORIZED
    is_denied = True

    def __init__(
        self,
        reason: RefusalReason,
        message: str | None = None,
        *,
        retry_after_s: int | None = None,
    ) -> None:
        self.reason = reason
        self.message = message or _MESSAGES[reason]
        self.retry_after_s = retry_after_s
        if reason == "keys_unavailable":
            self.status = StoreUnavailableError.status
            self.close_code = StoreUnavailableError.close_code
            self.is_denied = False
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was verified before: its signature need not be checked twice.

    Attributes:
        identity: What the token proves until its time is over.
        key: The key that verified it.
        asked_for: Key id and algorithm that the key set was asked for; None where the key is one
            of the settings, which stays.
    """

    identity: Identity
    key: _Key
    asked_for: tuple[str | None, str] | None


class TokenVerifier:
    """Turns a token into the identity that it proves.

    Which key verifies a token follows from its algorithm's family alone: a secret serves HMAC
    and nothing else, a public key the algorithms of its own type, so that neither can be passed
    off as the other (RFC 8725 section 2.1). ``none`` is never accepted.

    Args:
        secret: The HMAC secret, as long as the algorithm's hash at least: 32 bytes for HS256.
        public_key: Public keys as PEM text, whose line ends may be written as backslash and n,
            or the path of a PEM file: one, or while keys are replaced up to `MAX_PUBLIC_KEYS`.
        jwks: Keys at a URL. Its maker closes it. With public keys too, those are tried
            first.
        algorithms: The JWS algorithms to accept (RFC 7518 section 3.1). Empty: HS256 for a
            secret, the usual one of each public key's type, and RS256, ES256 and EdDSA for a JWKS.
            One that no key is configured for is left out, see `algorithms`.
        audience: What ``aud`` must be or contain. Without it, a token that has an audience is
            not for us (RFC 7519 section 4.1.3).
        issuer: What ``iss`` must be; without it any will do.
        claim_names: What the issuer calls ``projects`` and ``roles``, where it is something else.
            Claims of these own names are not looked at then.
        leeway_s: By how many seconds ``exp`` and ``nbf`` may be missed; for ``nbf`` and ``iat`` it
            is on top of `MAX_CLOCK_SKEW_S`.
        revocations: Whose tokens prove nothing any more, whatever else is right about them.
        clock: Unix time in seconds.

    Raises:
        KeyConfigurationError: There is no key, or one is weak, unreadable or of the wrong kind.
    """

    def __init__(
        self,
        *,
        secret: str | None = None,
        public_key: str | None = None,
        jwks: JwksCache | None = None,
        algorithms: tuple[str, ...] = (),
        audience: str | None = None,
        issuer: str | None = None,
        claim_names: Mapping[str, str] = MappingProxyType({}),
        leeway_s: float = 0.0,
        revocations: Revocations | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if secret is None and public_key is None and jwks is None:
            raise KeyConfigurationError(
                "There is no key to verify tokens with: set a secret, a public key or a JWKS URL"
            )
        for name in algorithms:
            if name not in _SECRET_BYTES and name not in ASYMMETRIC:
                raise KeyConfigurationError(f"The JWT algorithm {name!r} is not supported")
        self._public_keys = () if public_key is None else _load_public_keys(public_key)
        can_verify = [algorithms_of(key) for key in self._public_keys]
        usable = {name for names in can_verify for name in names}
        defaults = [names[0] for names in can_verify]
        if secret is not None:
            usable.update(_SECRET_BYTES)
            defaults.append("HS256")
        if jwks is not None:
            usable.update(ASYMMETRIC)
            defaults.extend(_JWKS_DEFAULTS)
        self._algorithms = frozenset(algorithms or defaults) & usable
        if not self._algorithms:
            raise KeyConfigurationError(
                f"None of the JWT algorithms {', '.join(algorithms)} has a key of its kind"
            )
        if secret is not None:
            for name in self._algorithms & _SECRET_BYTES.keys():
                _check_secret(secret, name)
        self._secret = secret
        self._jwks = jwks
        self._audience = audience
        self._issuer = issuer
        self._claim_names = claim_names
        self._leeway_s = leeway_s
        self._clock = clock
        self.revocations = revocations or Revocations()
        # By digest: a token itself is kept nowhere.
        self._verified: dict[bytes, _Verified] = {}

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that are accepted, each with a key to it."""
        return self._algorithms

    async def verify(self, token: str) -> Identity:
        """Verifies a token; it waits only where keys must be fetched.

        Raises:
            TokenRefused: The token proves nothing; the reason says why.
        """
        identity = await self._verify(token)
        # Asked last, and each time: it may have been revoked while keys were fetched, or since.
        if self.revocations.refuses(identity):
            raise TokenRefused("revoked")
        return identity

    async def _verify(self, token: str) -> Identity:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is not None and self._clock() < known.identity.expires_at:
            # A key of the set may have been withdrawn since, or another may bear its name now.
            if known.asked_for is None or await self._key_of_set(*known.asked_for) is known.key:
                return known.identity
            del self._verified[digest]
        algorithm, kid = self._read_header(token)
        payload, key = await self._check_signature(token, algorithm, kid)
        try:
            claims = Claims.from_payload(self._in_our_words(payload))
        except ClaimsError as error:
            message = f"The token's claims are not as they should be: {error}"
            raise TokenRefused("claims", message) from None
        now_s = self._clock()
        if claims.exp + self._leeway_s <= now_s:
            raise TokenRefused("expired")
        begin_s = max(claims.nbf or 0, claims.iat or 0) - self._leeway_s - MAX_CLOCK_SKEW_S
        if begin_s > now_s:
            wait_s = math.ceil(begin_s - now_s)
            message = f"The token is not valid yet: it will be in {wait_s} seconds."
            raise TokenRefused("not_yet_valid", message, retry_after_s=wait_s)
        identity = claims.to_identity(leeway_s=self._leeway_s)
        if len(self._verified) >= MAX_KNOWN_TOKENS:
            del self._verified[next(iter(self._verified))]
        is_ours = key is self._secret or any(key is one for one in self._public_keys)
        asked_for = None if is_ours else (kid, algorithm)
        self._verified[digest] = _Verified(identity, key, asked_for)
        return identity

    async def refresh(self, current: Identity, token: str) -> Identity:
        """Verifies the token that is to take the place of a connection's current one.

        What it may open can be more or less than before; that is for the connection to act on.

        Raises:
            TokenRefused: The token proves nothing, or is another user's (``other_user``).
        """
        identity = await self.verify(token)
        if identity.user_id != current.user_id:
            raise TokenRefused("other_user")
        return identity

    def _in_our_words(self, payload: dict[str, object]) -> dict[str, object]:
        ours = {claim: value for claim, value in payload.items() if claim not in self._claim_names}
        return ours | {
            claim: payload[theirs]
            for claim, theirs in self._claim_names.items()
            if theirs in payload
        }

    def _read_header(self, token: str) -> tuple[str, str | None]:
        """The token's algorithm, which is one of the configured, and key id, both unproven."""
        if not token:
            raise TokenRefused("missing")
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused("too_long")
        if not token.isascii():
            raise TokenRefused("malformed")
        try:
            header = jwt.get_unverified_header(token)
        except jwt_errors.PyJWTError:
            raise TokenRefused("malformed") from None
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenRefused("algorithm_not_allowed")
        return algorithm, header.get("kid")

    async def _check_signature(
        self, token: str, algorithm: str, kid: str | None
    ) -> tuple[dict[str, object], _Key]:
        """The token's payload, and the key that verifies its signature."""
        if algorithm in _SECRET_BYTES and self._secret is not None:
            return self._decode(token, self._secret, algorithm), self._secret
        suited = [key for key in self._public_keys if algorithm in algorithms_of(key)]
        for public_key in suited:
            try:
                return self._decode(token, public_key, algorithm), public_key
            except TokenRefused as refused:
                is_last = self._jwks is None and public_key is suited[-1]
                if is_last or refused.reason != "bad_signature":
                    raise
        key = await self._key_of_set(kid, algorithm)
        return self._decode(token, key, algorithm), key

    async def _key_of_set(self, kid: str | None, algorithm: str) -> PublicKey:
        """The key that the key set holds for a token at this moment."""
        if self._jwks is None:
            raise TokenRefused("unknown_key")
        try:
            return await self._jwks.key(kid, algorithm)
        except UnknownKeyError:
            raise TokenRefused("unknown_key") from None
        except KeysUnavailableError:
            raise TokenRefused("keys_unavailable") from None

    def _decode(self, token: str, key: _Key, algorithm: str) -> dict[str, object]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options=_DECODE_OPTIONS,
                audience=self._audience,
                issuer=self._issuer,
            )
        except jwt_errors.PyJWTError as error:
            raise TokenRefused(_reason_of(error)) from None


class TokenSigner:
    """Signs tokens with the shared secret, for operators, demos and tests.

    Args:
        secret: The HMAC secret, as in `TokenVerifier`.
        algorithm: HS256, HS384 or HS512.
        audience: Written as ``aud``, where given.
        issuer: Written as ``iss``, where given.
        claim_names: As in `TokenVerifier`.
        clock: Unix time in seconds.

    Raises:
        KeyConfigurationError: The secret is weak, or the algorithm is not for secrets.
    """

    def __init__(
        self,
        secret: str,
        algorithm: str = "HS256",
        audience: str | None = None,
        issuer: str | None = None,
        *,
        claim_names: Mapping[str, str] = MappingProxyType({}),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if algorithm not in _SECRET_BYTES:
            raise KeyConfigurationError(f"A secret can't sign with the algorithm {algorithm!r}")
        _check_secret(secret, algorithm)
        self._secret = secret
        self._algorithm = algorithm
        self._fixed = {"aud": audience, "iss": issuer}
        self._claim_names = claim_names
        self._clock = clock

    def sign(
        self,
        user_id: str,
        *,
        name: str | None = None,
        projects: Iterable[str] = (),
        roles: Iterable[str] = (),
        ttl_s: float,
    ) -> str:
        """Signs a token that `TokenVerifier` accepts for at least ``ttl_s`` seconds from now.

        Raises:
            ClaimsError: A value is one that the verifier would refuse.
            ValueError: A role is unknown, or ``ttl_s`` is not positive and finite.
        """
        if not (math.isfinite(ttl_s) and ttl_s > 0):
            raise ValueError("The time to live must be more than 0 seconds")
        now_s = self._clock()
        payload: dict[str, object] = {
            "sub": user_id,
            "name": name,
            "projects": list(projects),
            "roles": [Role(role).value for role in roles],
            "iat": math.floor(now_s),
            "exp": math.ceil(now_s + ttl_s),
            **self._fixed,
        }
        payload = {claim: value for claim, value in payload.items() if value is not None}
        Claims.from_payload(payload)
        theirs = {self._claim_names.get(claim, claim): value for claim, value in payload.items()}
        token = jwt.encode(theirs, self._secret, algorithm=self._algorithm)
        if len(token) > MAX_TOKEN_BYTES:
            raise ClaimsError(f"The token would be longer than {MAX_TOKEN_BYTES} bytes")
        return token


def _reason_of(error: jwt_errors.PyJWTError) -> RefusalReason:
    match error:
        case jwt_errors.InvalidSignatureError():
            return "bad_signature"
        case jwt_errors.InvalidAudienceError():
            return "wrong_audience"
        case jwt_errors.InvalidIssuerError():
            return "wrong_issuer"
        case jwt_errors.MissingRequiredClaimError():
            return "wrong_issuer" if error.claim == "iss" else "wrong_audience"
        case jwt_errors.InvalidAlgorithmError():
            return "algorithm_not_allowed"
        case jwt_errors.InvalidKeyError():
            return "unknown_key"
        case _:
            return "malformed"


def _check_secret(secret: str, algorithm: str) -> None:
    needed = _SECRET_BYTES[algorithm]
    found = len(secret.encode())
    if found < needed:
        raise KeyConfigurationError(
            f"The JWT secret has {found} bytes; {algorithm} needs at least {needed}. "
            f"Make one with: openssl rand -hex {needed}"
        )
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt_errors.InvalidKeyError:
        raise KeyConfigurationError(
            "The JWT secret holds a public key, a certificate or a JWK; a secret must be one"
        ) from None


def _load_public_keys(text_or_path: str) -> tuple[PublicKey, ...]:
    text = text_or_path
    if "-----BEGIN" not in text:
        try:
            text = Path(text_or_path).read_text("ascii")
        except (OSError, ValueError):
            # Not quoted: what was put here by mistake may be a secret.
            raise KeyConfigurationError(
                "The JWT public key is neither PEM text nor the path of a file that can be read"
            ) from None
    if "PRIVATE KEY-----" in text:
        raise KeyConfigurationError(
            "The JWT public key is a private key. Give its public half: openssl pkey -pubout"
        )
    blocks = _PEM_BLOCK.findall(text.replace("\\n", "\n"))
    if len(blocks) > MAX_PUBLIC_KEYS:
        raise KeyConfigurationError(
            f"There are {len(blocks)} JWT public keys; {MAX_PUBLIC_KEYS} are the most"
        )
    if blocks and len(blocks) != text.count("-----BEGIN"):
        raise KeyConfigurationError("One of the JWT public keys has no end: it was cut off")
    # Where there is no whole block the library says what is wrong with the text.
    return tuple(_load_public_key(block) for block in blocks or [text])


def _load_public_key(pem: str) -> PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyConfigurationError("The JWT public key is not a public key in PEM") from None
    if not isinstance(key, PublicKey) or not algorithms_of(key):
        raise KeyConfigurationError(
            "The JWT public key must be RSA of 2048 bits or more, EC on P-256, P-384 or P-521, "
            "Ed25519 or Ed448"
        )
    return key
