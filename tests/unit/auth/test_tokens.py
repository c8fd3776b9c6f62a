import base64
import hashlib
import hmac
import json
import math
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from rtserver.auth.jwks import JwksCache
from rtserver.auth.tokens import (
    MAX_TOKEN_BYTES,
    KeyConfigurationError,
    TokenRefused,
    TokenSigner,
    TokenVerifier,
)
from rtserver.model.identity import Identity

SECRET = "a secret of forty bytes, that nobody knows"
NOW_S = 1_800_000_000.0

T = TypeVar("T")
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def at_noon() -> float:
    return NOW_S


def claims(**changes: object) -> dict[str, object]:
    """Good claims with some changed; None takes one out."""
    every = {"sub": "ada", "exp": NOW_S + 60} | changes
    return {claim: value for claim, value in every.items() if value is not None}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, payload: object, key: bytes | None = None) -> str:
    """A token as an attacker writes it: any header, HMAC with anything, or no signature."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    signature = b"" if key is None else hmac.digest(key, signed.encode(), hashlib.sha256)
    return f"{signed}.{b64(signature)}"


def secret_verifier(**arguments: Any) -> TokenVerifier:
    every: dict[str, Any] = {"secret": SECRET, "clock": at_noon} | arguments
    return TokenVerifier(**every)


def with_secret(payload: dict[str, object], algorithm: str = "HS256") -> str:
    return jwt.encode(payload, SECRET, algorithm=algorithm)


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        await verifier.verify(token)
    assert caught.value.message == str(caught.value)
    assert caught.value.message.endswith(".") or caught.value.reason == "claims"
    if len(token) > 8:
        assert token not in caught.value.message
    return caught.value.reason


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Runs what has no reason to wait for anything, and fails where it does wait."""
    with pytest.raises(StopIteration) as stopped:
        work.send(None)
    result: T = stopped.value.value
    return result


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    """A key pair for each asymmetric algorithm that is accepted by default."""
    return {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def pem(key: PrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


# Who a token names


@pytest.mark.gen_test
async def test_several_public_keys_verify_while_one_takes_anothers_place(tmp_path: Path) -> None:
    old, new = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "keys.pem"
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_text(f"# the old one\n{pem(old)}# the new one\n{pem(new)}{pem(other)}")
    verifier = TokenVerifier(public_key=str(path), clock=at_noon)
    assert verifier.algorithms == {"EdDSA", "ES256"}
    for key in (old, new):
        signed = jwt.encode(claims(), key, algorithm="EdDSA")
        assert (await verifier.verify(signed)).user_id == "ada"
        assert (await verifier.verify(signed)).user_id == "ada"
    strange = jwt.encode(claims(), ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA")
    with pytest.raises(TokenRefused) as refused:
        await verifier.verify(strange)
    assert refused.value.reason == "bad_signature"


def test_public_keys_are_bounded_and_each_must_be_one() -> None:
    good = pem(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(KeyConfigurationError, match="9 JWT public keys"):
        TokenVerifier(public_key=good * 9)
    with pytest.raises(KeyConfigurationError, match="not a public key"):
        TokenVerifier(public_key=good + good.replace("MC", "XX"))
    with pytest.raises(KeyConfigurationError, match="cut off"):
        TokenVerifier(public_key=good + good.partition("-----END")[0])


@pytest.mark.gen_test
async def test_an_issuer_may_have_its_own_names_for_claims() -> None:
    names = {"projects": "https://example.org/projects", "roles": "https://example.org/roles"}
    verifier = TokenVerifier(secret=SECRET, claim_names=names, clock=at_noon)
    mine = claims(projects=["p1"], roles=["admin"])
    identity = await verifier.verify(jwt.encode(mine, SECRET, algorithm="HS256"))
    assert not identity.projects | identity.roles
    theirs = claims(**{names["projects"]: ["p1"], names["roles"]: ["service"]})
    identity = await verifier.verify(jwt.encode(theirs, SECRET, algorithm="HS256"))
    assert identity.projects == {"p1"}
    assert identity.roles == {"service"}
    signer = TokenSigner(SECRET, claim_names=names, clock=at_noon)
    identity = await verifier.verify(signer.sign("ada", projects=["p2"], ttl_s=60))
    assert identity.projects == {"p2"}


@pytest.mark.gen_test
async def test_a_token_becomes_the_identity_that_it_names() -> None:
    token = with_secret(
        claims(
            sub="ada",
            name="Ada Lovelace",
            projects=["engine", "notes"],
            roles=["service", "poet"],
            nbf=NOW_S - 5,
            iat=NOW_S - 5.5,
            jti=7,
            custom={"any": "thing"},
        )
    )
    assert await secret_verifier().verify(token) == Identity(
        user_id="ada",
        name="Ada Lovelace",
        projects=frozenset({"engine", "notes"}),
        roles=frozenset({"service"}),
        expires_at=NOW_S + 60,
        issued_at=NOW_S - 5.5,
    )


@pytest.mark.gen_test
async def test_a_bare_token_has_no_projects_no_roles_and_its_user_id_for_a_name() -> None:
    for name in ({}, {"name": ""}):
        identity = await secret_verifier().verify(with_secret(claims(**name)))
        assert identity == Identity("ada", "ada", frozenset(), frozenset(), NOW_S + 60)


# Keys and algorithms


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("way", ["text", "one line", "file"])
@pytest.mark.gen_test
async def test_a_public_key_verifies_what_its_private_half_signed(
    keys: dict[str, PrivateKey], tmp_path: Path, algorithm: str, way: str
) -> None:
    text = pem(keys[algorithm])
    path = tmp_path / "key.pem"
    path.write_text(text)
    given_key = {"text": text, "one line": text.replace("\n", "\\n"), "file": str(path)}[way]
    verifier = TokenVerifier(public_key=given_key, clock=at_noon)

    assert verifier.algorithms == {algorithm}
    token = jwt.encode(claims(), keys[algorithm], algorithm=algorithm)
    assert (await verifier.verify(token)).user_id == "ada"
    for other in keys.keys() - {algorithm}:
        token = jwt.encode(claims(), keys[other], algorithm=other)
        assert await refusal(verifier, token) == "algorithm_not_allowed"


@pytest.mark.gen_test
async def test_another_key_of_the_same_type_is_refused(keys: dict[str, PrivateKey]) -> None:
    verifier = TokenVerifier(public_key=pem(keys["ES256"]), clock=at_noon)
    stranger = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims(), stranger, algorithm="ES256")
    assert await refusal(verifier, token) == "bad_signature"
    token = jwt.encode(claims(), "another secret, of forty bytes as well..", algorithm="HS256")
    assert await refusal(secret_verifier(), token) == "bad_signature"


class KeysHandler(RequestHandler):
    def initialize(self, key_set: list[dict[str, Any]]) -> None:
        self.key_set = key_set

    def get(self) -> None:
        self.write({"keys": self.key_set})


@pytest.fixture
def key_set(keys: dict[str, PrivateKey]) -> list[dict[str, Any]]:
    """The keys that the issuer publishes, and with them a secret that has no business there."""
    formats: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    published = [
        formats[algorithm].to_jwk(key.public_key(), as_dict=True) | {"kid": f"the {algorithm} key"}
        for algorithm, key in keys.items()
    ]
    secret = {"kty": "oct", "k": b64(SECRET.encode()), "kid": "secret", "alg": "HS256"}
    return [*published, secret]


@pytest.fixture
def keys_url(io_loop: IOLoop, key_set: list[dict[str, Any]]) -> Iterator[str]:
    server = HTTPServer(Application([("/keys", KeysHandler, {"key_set": key_set})]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/keys"
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=5)


@pytest.fixture
def jwks(io_loop: IOLoop, keys_url: str) -> Iterator[JwksCache]:
    cache = JwksCache(keys_url)
    yield cache
    io_loop.run_sync(cache.close, timeout=10)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.gen_test
async def test_keys_come_from_a_url(
    keys: dict[str, PrivateKey], jwks: JwksCache, algorithm: str
) -> None:
    verifier = TokenVerifier(jwks=jwks, clock=at_noon)
    assert verifier.algorithms == {"RS256", "ES256", "EdDSA"}
    for headers in ({"kid": f"the {algorithm} key"}, {}):
        token = jwt.encode(claims(), keys[algorithm], algorithm=algorithm, headers=headers)
        assert (await verifier.verify(token)).user_id == "ada"
    token = jwt.encode(claims(), keys[algorithm], algorithm=algorithm, headers={"kid": "other"})
    assert await refusal(verifier, token) == "unknown_key"
    other = "the ES256 key" if algorithm != "ES256" else "the RS256 key"
    token = jwt.encode(claims(), keys[algorithm], algorithm=algorithm, headers={"kid": other})
    assert await refusal(verifier, token) == "unknown_key"


@pytest.mark.gen_test
async def test_a_secret_at_a_url_verifies_nothing(jwks: JwksCache) -> None:
    token = jwt.encode(claims(), SECRET, algorithm="HS256", headers={"kid": "secret"})
    assert await refusal(TokenVerifier(jwks=jwks, clock=at_noon), token) == "algorithm_not_allowed"


@pytest.mark.gen_test
async def test_a_public_key_is_tried_before_those_at_the_url(
    keys: dict[str, PrivateKey], jwks: JwksCache
) -> None:
    fixed = ec.generate_private_key(ec.SECP256R1())
    verifier = TokenVerifier(public_key=pem(fixed), jwks=jwks, clock=at_noon)
    for key in (fixed, keys["ES256"]):
        token = jwt.encode(claims(), key, algorithm="ES256")
        assert (await verifier.verify(token)).user_id == "ada"
    for algorithm, key in keys.items():  # its type must not get in the way of the others
        token = jwt.encode(claims(), key, algorithm=algorithm)
        await verifier.verify(token)
    token = jwt.encode(claims(exp=NOW_S - 1), fixed, algorithm="ES256")
    assert await refusal(verifier, token) == "expired"
    token = jwt.encode(claims(aud="other"), fixed, algorithm="ES256")
    assert await refusal(verifier, token) == "wrong_audience"
    token = jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    assert await refusal(verifier, token) == "bad_signature"


@pytest.mark.gen_test
async def test_keys_that_cannot_be_fetched_are_not_the_tokens_fault(
    keys: dict[str, PrivateKey],
) -> None:
    (socket,) = bind_sockets(0, "127.0.0.1")
    port = socket.getsockname()[1]
    socket.close()
    cache = JwksCache(f"http://127.0.0.1:{port}/keys")
    token = jwt.encode(claims(), keys["ES256"], algorithm="ES256")
    assert await refusal(TokenVerifier(jwks=cache, clock=at_noon), token) == "keys_unavailable"
    await cache.close()


@pytest.mark.gen_test
async def test_each_key_of_several_serves_its_own_algorithm(keys: dict[str, PrivateKey]) -> None:
    verifier = secret_verifier(public_key=pem(keys["ES256"]))
    assert verifier.algorithms == {"HS256", "ES256"}
    await verifier.verify(with_secret(claims()))
    await verifier.verify(jwt.encode(claims(), keys["ES256"], algorithm="ES256"))


@pytest.mark.gen_test
async def test_a_revocation_is_asked_for_each_time_a_token_is_shown() -> None:
    verifier = secret_verifier()
    old, unsaid = with_secret(claims(iat=NOW_S - 10)), with_secret(claims(iat=None))
    same, new = with_secret(claims(iat=NOW_S)), with_secret(claims(iat=NOW_S + 0.5))
    other = with_secret(claims(sub="ben", iat=NOW_S - 10))
    for token in (old, unsaid, same, new, other):
        await verifier.verify(token)  # from here on it is known
    assert verifier.revocations.learn("ada", NOW_S)
    for token in (old, unsaid):
        assert await refusal(verifier, token) == "revoked"
        with pytest.raises(TokenRefused, match="revoked"):  # also at a refresh
            await verifier.refresh(await verifier.verify(same), token)
    for token in (same, new, other):
        await verifier.verify(token)
    # An earlier one takes nothing back, and the same one is no news.
    assert not verifier.revocations.learn("ada", NOW_S - 100)
    assert not verifier.revocations.learn("ada", NOW_S)
    assert await refusal(verifier, old) == "revoked"
    assert verifier.revocations.learn("ada", NOW_S + 1)
    assert await refusal(verifier, new) == "revoked"


@pytest.mark.gen_test
async def test_only_the_algorithms_that_are_configured_are_accepted(
    keys: dict[str, PrivateKey],
) -> None:
    long_secret = "x" * 64
    verifier = TokenVerifier(
        secret=long_secret,
        public_key=pem(keys["RS256"]),
        algorithms=("HS512", "PS256", "EdDSA"),
        clock=at_noon,
    )
    assert verifier.algorithms == {"HS512", "PS256"}
    await verifier.verify(jwt.encode(claims(), long_secret, algorithm="HS512"))
    await verifier.verify(jwt.encode(claims(), keys["RS256"], algorithm="PS256"))
    for token in (
        jwt.encode(claims(), long_secret, algorithm="HS256"),
        jwt.encode(claims(), keys["RS256"], algorithm="RS256"),
        jwt.encode(claims(), keys["EdDSA"], algorithm="EdDSA"),
    ):
        assert await refusal(verifier, token) == "algorithm_not_allowed"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "no key"),
        ({"secret": ""}, "0 bytes"),
        ({"secret": "x" * 31}, "31 bytes; HS256 needs at least 32"),
        ({"secret": "x" * 47, "algorithms": ("HS256", "HS384")}, "HS384 needs at least 48"),
        ({"secret": "x" * 63, "algorithms": ("HS512",)}, "HS512 needs at least 64"),
        ({"secret": SECRET, "algorithms": ("none",)}, "'none' is not supported"),
        ({"secret": SECRET, "algorithms": ("HS256", "None")}, "'None' is not supported"),
        ({"secret": SECRET, "algorithms": ("hs256",)}, "not supported"),
        ({"secret": SECRET, "algorithms": ("RS256",)}, "RS256"),
        ({"public_key": "/nowhere/key.pem"}, "neither PEM text nor the path"),
        ({"public_key": "/"}, "neither PEM text nor the path"),
        ({"public_key": "\0"}, "neither PEM text nor the path"),
        ({"public_key": ""}, "neither PEM text nor the path"),
        ({"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}, "PEM"),
    ],
)
def test_keys_that_protect_nothing_are_refused_at_once(
    arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(KeyConfigurationError, match=complaint) as caught:
        TokenVerifier(**arguments)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ],
)
def test_public_keys_of_a_weak_or_unknown_kind_are_refused(key: Any) -> None:
    with pytest.raises(KeyConfigurationError, match="2048 bits or more"):
        TokenVerifier(public_key=pem(key))


def test_a_private_key_is_not_taken_for_a_public_one(keys: dict[str, PrivateKey]) -> None:
    for layout in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        text = keys["RS256"].private_bytes(Encoding.PEM, layout, NoEncryption()).decode()
        with pytest.raises(KeyConfigurationError, match="private key") as caught:
            TokenVerifier(public_key=text)
        assert text[100:140] not in str(caught.value)


def test_a_public_key_is_not_taken_for_a_secret(keys: dict[str, PrivateKey]) -> None:
    public = keys["RS256"].public_key()
    jwk = RSAAlgorithm.to_jwk(public)  # type: ignore[arg-type]
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for text in (pem(keys["RS256"]), jwk, ssh):
        for make in (lambda secret: TokenVerifier(secret=secret), TokenSigner):
            with pytest.raises(KeyConfigurationError, match="must be one"):
                make(text)


# Attacks on the algorithm (RFC 8725 section 2.1)


@pytest.mark.gen_test
async def test_a_public_key_is_never_an_hmac_secret(
    keys: dict[str, PrivateKey], tmp_path: Path
) -> None:
    for algorithm, key in keys.items():
        public = key.public_key()
        text = pem(key)
        spellings = [
            text.encode(),
            text.strip().encode(),
            text.replace("\n", "\r\n").encode(),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            b"",
        ]
        path = tmp_path / f"{algorithm}.pem"
        path.write_text(text)
        for verifier, reason in [
            (TokenVerifier(public_key=text, clock=at_noon), "algorithm_not_allowed"),
            (TokenVerifier(public_key=str(path), clock=at_noon), "algorithm_not_allowed"),
            # As good as an invitation, and still no more than the key allows.
            (
                TokenVerifier(public_key=text, algorithms=(algorithm, "HS256"), clock=at_noon),
                "algorithm_not_allowed",
            ),
            (secret_verifier(public_key=text), "bad_signature"),
        ]:
            for spelling in [*spellings, str(path).encode()]:
                token = forged({"alg": "HS256", "typ": "JWT"}, claims(), spelling)
                assert await refusal(verifier, token) == reason


@pytest.mark.gen_test
async def test_a_key_set_is_never_an_hmac_secret(
    keys: dict[str, PrivateKey], jwks: JwksCache
) -> None:
    verifier = TokenVerifier(jwks=jwks, secret=SECRET, clock=at_noon)
    jwk = ECAlgorithm.to_jwk(keys["ES256"].public_key())  # type: ignore[arg-type]
    for spelling in (jwk.encode(), pem(keys["ES256"]).encode()):
        token = forged({"alg": "HS256", "kid": "the ES256 key"}, claims(), spelling)
        assert await refusal(verifier, token) == "bad_signature"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.gen_test
async def test_a_secret_is_never_tried_against_an_asymmetric_algorithm(
    keys: dict[str, PrivateKey], algorithm: str
) -> None:
    token = forged({"alg": algorithm}, claims(), SECRET.encode())
    assert await refusal(secret_verifier(), token) == "algorithm_not_allowed"
    both = secret_verifier(public_key=pem(keys[algorithm]))
    assert await refusal(both, token) == "bad_signature"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256 ", None, 5, ["HS256"]])
@pytest.mark.gen_test
async def test_no_token_goes_unsigned(keys: dict[str, PrivateKey], name: object) -> None:
    for key in (None, b"", SECRET.encode()):
        token = forged({"alg": name, "typ": "JWT"}, claims(), key)
        for verifier in (secret_verifier(), secret_verifier(public_key=pem(keys["RS256"]))):
            assert await refusal(verifier, token) == "algorithm_not_allowed"
    unsigned = with_secret(claims()).rpartition(".")[0] + "."
    assert await refusal(secret_verifier(), unsigned) == "bad_signature"


@pytest.mark.gen_test
async def test_a_key_that_the_token_brings_along_counts_for_nothing(
    keys: dict[str, PrivateKey],
) -> None:
    mine = ec.generate_private_key(ec.SECP256R1())
    headers = {
        "jwk": ECAlgorithm.to_jwk(mine.public_key(), as_dict=True),
        "jku": "https://attacker.example/keys",
        "x5u": "https://attacker.example/certificate",
    }
    token = jwt.encode(claims(), mine, algorithm="ES256", headers=headers)
    verifier = TokenVerifier(public_key=pem(keys["ES256"]), clock=at_noon)
    assert await refusal(verifier, token) == "bad_signature"


@pytest.mark.gen_test
async def test_headers_that_change_the_meaning_are_refused() -> None:
    secret = SECRET.encode()
    for header in (
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "kid": 5},
        ["HS256"],
        "HS256",
        None,
    ):
        assert await refusal(secret_verifier(), forged(header, claims(), secret)) == "malformed"


# Times


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"exp": NOW_S + 0.5}, None),
        ({"exp": NOW_S}, "expired"),
        ({"exp": NOW_S - 0.5}, "expired"),
        ({"exp": -5}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": NOW_S}, None),
        ({"nbf": NOW_S + 60}, None),
        ({"nbf": NOW_S + 60.5}, "not_yet_valid"),
        ({"nbf": 0}, None),
        ({"iat": NOW_S + 60}, None),
        ({"iat": NOW_S + 61}, "not_yet_valid"),
        ({"iat": NOW_S - 1e9}, None),
        ({"exp": NOW_S - 1, "nbf": NOW_S + 1}, "expired"),
        ({"exp": 253_402_300_799}, None),
    ],
)
@pytest.mark.gen_test
async def test_a_token_has_its_time(times: dict[str, float], reason: str | None) -> None:
    token = with_secret(claims(**times))
    if reason is None:
        assert (await secret_verifier().verify(token)).expires_at == times.get("exp", NOW_S + 60)
    else:
        assert await refusal(secret_verifier(), token) == reason


@pytest.mark.gen_test
async def test_leeway_forgives_clocks_and_counts_into_the_end() -> None:
    verifier = secret_verifier(leeway_s=10)
    identity = await verifier.verify(with_secret(claims(exp=NOW_S - 9, nbf=NOW_S + 70)))
    assert identity.expires_at == NOW_S + 1
    assert await refusal(verifier, with_secret(claims(exp=NOW_S - 10))) == "expired"
    assert await refusal(verifier, with_secret(claims(nbf=NOW_S + 71))) == "not_yet_valid"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.gen_test
async def test_who_comes_too_early_is_told_when_to_come_back(claim: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        await secret_verifier().verify(with_secret(claims(**{claim: NOW_S + 90.5})))
    assert caught.value.retry_after_s == 31
    assert "in 31 seconds" in caught.value.message
    later = secret_verifier(clock=lambda: NOW_S + 31)
    await later.verify(with_secret(claims(exp=NOW_S + 300, **{claim: NOW_S + 90.5})))


@pytest.mark.gen_test
async def test_the_clock_is_the_real_one_unless_given() -> None:
    verifier = TokenVerifier(secret=SECRET)
    await verifier.verify(TokenSigner(SECRET).sign("ada", ttl_s=60))
    assert await refusal(verifier, with_secret(claims(exp=1_000_000_000))) == "expired"


# Claims


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": ["ada"]},
        {"sub": "a" * 257},
        {"sub": "ada\n"},
        {"sub": "a\0da"},
        {"sub": "a\x7fda"},
        {"sub": "a\u0085da"},
        {"sub": "a\u2028da"},
        {"sub": "a\ud800da"},
        {"exp": None},
        {"exp": "1900000000"},
        {"exp": True},
        {"exp": [1]},
        {"exp": math.inf},
        {"exp": math.nan},
        {"exp": 10**12},
        {"exp": 10**400},
        {"exp": -(10**400)},
        {"nbf": "soon"},
        {"nbf": -math.inf},
        {"nbf": False},
        {"iat": "now"},
        {"iat": math.nan},
        {"name": 5},
        {"name": "n" * 257},
        {"name": "Ada\x1b[31m"},
        {"projects": "engine"},
        {"projects": "*"},
        {"projects": {"engine": True}},
        {"projects": [1]},
        {"projects": ["engine", None]},
        {"projects": [""]},
        {"projects": ["eng\nine"]},
        {"roles": "admin"},
        {"roles": {"admin": True}},
        {"roles": [1]},
        {"roles": [["admin"]]},
    ],
)
@pytest.mark.gen_test
async def test_claims_of_the_wrong_kind_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(TokenRefused) as caught:
        await secret_verifier().verify(with_secret(claims(**changes)))
    assert caught.value.reason == "claims"
    # The message names the claim and leaves its value out.
    assert next(iter(changes)) in caught.value.message
    assert "1900000000" not in caught.value.message


@pytest.mark.parametrize("claim", ["sub", "exp", "name", "projects", "roles", "nbf", "iat"])
@pytest.mark.gen_test
async def test_null_is_no_value_of_any_claim(claim: str) -> None:
    token = forged({"alg": "HS256"}, claims() | {claim: None}, SECRET.encode())
    assert await refusal(secret_verifier(), token) == "claims"


@pytest.mark.gen_test
async def test_a_payload_that_is_no_object_is_malformed() -> None:
    for payload in ([], "ada", 5, None, [["sub", "ada"]]):
        token = forged({"alg": "HS256"}, payload, SECRET.encode())
        assert await refusal(secret_verifier(), token) == "malformed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "rtserver", "iss": "https://issuer"}, None),
        ({"aud": ["other", "rtserver"], "iss": "https://issuer"}, None),
        ({"aud": "other", "iss": "https://issuer"}, "wrong_audience"),
        ({"aud": [], "iss": "https://issuer"}, "wrong_audience"),
        ({"aud": 5, "iss": "https://issuer"}, "wrong_audience"),
        ({"aud": ["rtserver", 5], "iss": "https://issuer"}, "wrong_audience"),
        ({"iss": "https://issuer"}, "wrong_audience"),
        ({"aud": "rtserver", "iss": "https://issuer/"}, "wrong_issuer"),
        ({"aud": "rtserver", "iss": ["https://issuer"]}, "wrong_issuer"),
        ({"aud": "rtserver"}, "wrong_issuer"),
    ],
)
@pytest.mark.gen_test
async def test_a_token_is_meant_for_us_by_whom_we_trust(
    changes: dict[str, object], reason: str | None
) -> None:
    verifier = secret_verifier(audience="rtserver", issuer="https://issuer")
    token = forged({"alg": "HS256"}, claims(**changes), SECRET.encode())
    if reason is None:
        await verifier.verify(token)
    else:
        assert await refusal(verifier, token) == reason


@pytest.mark.gen_test
async def test_without_an_audience_of_ours_a_token_with_one_is_for_others() -> None:
    assert await refusal(secret_verifier(), with_secret(claims(aud="other"))) == "wrong_audience"
    await secret_verifier().verify(with_secret(claims(iss="anyone")))


# What is no token


@pytest.mark.gen_test
async def test_a_token_that_is_missing_or_too_long_is_refused_unread() -> None:
    assert await refusal(secret_verifier(), "") == "missing"
    padding = (MAX_TOKEN_BYTES - len(with_secret(claims(pad="")))) * 3 // 4
    fits = with_secret(claims(pad="x" * padding))
    assert MAX_TOKEN_BYTES - 4 <= len(fits) <= MAX_TOKEN_BYTES
    await secret_verifier().verify(fits)
    assert await refusal(secret_verifier(), with_secret(claims(pad="x" * 9000))) == "too_long"
    assert await refusal(secret_verifier(), "x" * 10_000_000) == "too_long"
    for text in ("\ud800.\ud800.\ud800", f"{_GOOD}\ud800", f"{_GOOD}\n", f" {_GOOD}", "ü.ü.ü"):
        assert await refusal(secret_verifier(), text) == "malformed"


@settings(deadline=None)
@given(
    st.text(min_size=1)
    | st.lists(st.binary().map(b64), min_size=1, max_size=5).map(".".join).filter(bool)
    | st.tuples(st.text(), st.text()).map(
        lambda parts: f"{b64(json.dumps({'alg': 'HS256', 'kid': parts[0]}).encode())}.{parts[1]}."
    )
)
def test_whatever_is_no_token_is_refused_and_not_quoted(text: str) -> None:
    assert at_once(refusal(secret_verifier(), text)) in (
        *("malformed", "algorithm_not_allowed", "bad_signature"),
    )


_GOOD = with_secret({"sub": "ada", "exp": NOW_S + 60})


@settings(deadline=None)
@given(st.integers(0, len(_GOOD) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_with_one_character_changed_is_refused(position: int, character: str) -> None:
    changed = _GOOD[:position] + character + _GOOD[position + 1 :]
    if changed != _GOOD:
        assert at_once(refusal(secret_verifier(), changed)) in (
            *("malformed", "bad_signature", "algorithm_not_allowed"),
        )


# Changing the token of a connection


@pytest.mark.gen_test
async def test_a_token_is_replaced_by_one_of_the_same_user() -> None:
    verifier, signer = secret_verifier(), TokenSigner(SECRET, clock=at_noon)
    current = await verifier.verify(signer.sign("ada", projects=["a"], ttl_s=10))
    refreshed = await verifier.refresh(current, signer.sign("ada", projects=["b"], ttl_s=20))
    assert refreshed == Identity("ada", "ada", frozenset({"b"}), frozenset(), NOW_S + 20, NOW_S)

    for token, reason in [
        (signer.sign("eve", projects=["a"], ttl_s=20), "other_user"),
        (signer.sign("Ada", projects=["a"], ttl_s=20), "other_user"),
        (with_secret(claims(exp=NOW_S)), "expired"),
        ("", "missing"),
    ]:
        with pytest.raises(TokenRefused) as caught:
            await verifier.refresh(current, token)
        assert caught.value.reason == reason


# Signing

_names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=80
)


@settings(deadline=None)
@given(
    user_id=_names,
    name=st.none() | _names,
    projects=st.lists(_names, max_size=5),
    roles=st.lists(st.sampled_from(["admin", "service"]), max_size=2),
    ttl_s=st.floats(0.001, 1e9),
    algorithm=st.sampled_from(["HS256", "HS384", "HS512"]),
)
def test_what_is_signed_is_verified(
    user_id: str,
    name: str | None,
    projects: list[str],
    roles: list[str],
    ttl_s: float,
    algorithm: str,
) -> None:
    secret = "s" * 64
    signer = TokenSigner(secret, algorithm, "rtserver", "cli", clock=at_noon)
    verifier = TokenVerifier(
        secret=secret,
        algorithms=(algorithm,),
        audience="rtserver",
        issuer="cli",
        clock=at_noon,
    )
    token = signer.sign(user_id, name=name, projects=projects, roles=roles, ttl_s=ttl_s)
    identity = at_once(verifier.verify(token))
    assert identity.user_id == user_id
    assert identity.name == (name or user_id)
    assert identity.projects == set(projects)
    assert identity.roles == set(roles)
    assert NOW_S + ttl_s <= identity.expires_at < NOW_S + ttl_s + 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"user_id": ""},
        {"user_id": "a\nb"},
        {"user_id": "a" * 257},
        {"name": "n" * 257},
        {"projects": [""]},
        {"projects": [f"project-{n}" for n in range(1000)]},
        {"roles": ["root"]},
        {"ttl_s": 0},
        {"ttl_s": -5},
        {"ttl_s": math.inf},
        {"ttl_s": math.nan},
        {"ttl_s": 1e12},
    ],
)
def test_what_would_be_refused_is_not_signed(arguments: dict[str, Any]) -> None:
    good: dict[str, Any] = {"user_id": "ada", "ttl_s": 60}
    with pytest.raises(ValueError, match=r".+"):
        TokenSigner(SECRET).sign(**(good | arguments))


@pytest.mark.parametrize("algorithm", ["none", "RS256", "ES256", "EdDSA", "", "hs256"])
def test_a_secret_signs_with_hmac_alone(algorithm: str) -> None:
    with pytest.raises(KeyConfigurationError, match="can't sign"):
        TokenSigner(SECRET, algorithm)


def test_a_signer_with_a_weak_secret_is_not_made() -> None:
    with pytest.raises(KeyConfigurationError, match="31 bytes"):
        TokenSigner("x" * 31)
    with pytest.raises(KeyConfigurationError, match="48"):
        TokenSigner("x" * 47, "HS384")
    # It is the bytes that count.
    assert TokenSigner("ü" * 16).sign("ada", ttl_s=1)


def test_a_signed_token_shows_no_secret_in_representations() -> None:
    for thing in (TokenSigner(SECRET), secret_verifier()):
        assert SECRET not in repr(thing)


@pytest.mark.gen_test
async def test_a_token_that_was_verified_before_is_refused_once_it_is_over() -> None:
    now_s = NOW_S
    verifier = secret_verifier(clock=lambda: now_s)
    token = with_secret(claims(exp=NOW_S + 60))
    identity = await verifier.verify(token)
    assert await verifier.verify(token) is identity
    assert await refusal(verifier, token[:-2] + ("AA" if token[-2:] != "AA" else "BB")) != ""
    now_s = NOW_S + 60
    assert await refusal(verifier, token) == "expired"


@pytest.mark.parametrize("becomes", ["withdrawn", "replaced"])
@pytest.mark.gen_test
async def test_a_token_whose_key_left_the_key_set_is_refused_though_it_was_verified_before(
    keys: dict[str, PrivateKey], key_set: list[dict[str, Any]], keys_url: str, becomes: str
) -> None:
    now_s = 0.0
    cache = JwksCache(keys_url, ttl_s=300.0, clock=lambda: now_s)
    verifier = TokenVerifier(jwks=cache, clock=at_noon)
    name = {"kid": "the EdDSA key"}
    token = jwt.encode(claims(), keys["EdDSA"], algorithm="EdDSA", headers=name)
    identity = await verifier.verify(token)
    (listed,) = [key for key in key_set if key["kid"] == name["kid"]]
    key_set.remove(listed)
    if becomes == "replaced":
        other = ed25519.Ed25519PrivateKey.generate()
        key_set.append(OKPAlgorithm.to_jwk(other.public_key(), as_dict=True) | name)

    now_s = 299.9
    assert await verifier.verify(token) is identity  # what the set said last holds for its time
    now_s = 300.0
    refused = {"withdrawn": "unknown_key", "replaced": "bad_signature"}
    assert await refusal(verifier, token) == refused[becomes]
    await cache.close()


@pytest.mark.gen_test
async def test_only_so_many_verified_tokens_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver.auth.tokens.MAX_KNOWN_TOKENS", 3)
    verifier = secret_verifier()
    for number in range(10):
        token = with_secret(claims(sub=f"user{number}"))
        assert (await verifier.verify(token)).user_id == f"user{number}"
        assert len(verifier._verified) <= 3
