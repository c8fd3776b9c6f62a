"""The keys that tokens are verified with; and the secret that the demo makes for itself."""

import os
import secrets

from rtserver.app.foundation import Foundation
from rtserver.auth.jwks import JwksCache
from rtserver.auth.tokens import KeyConfigurationError, TokenSigner, TokenVerifier
from rtserver.config.settings import Settings
from rtserver.lib.data_folder import make_folder
from rtserver.model.errors import OperatorError

SECRET_FILE = "demo-jwt-secret"  # noqa: S105 - a file's name


def signing_secret(settings: Settings, *, demo: bool) -> str | None:
    """The secret for symmetric tokens, where there is one.

    Raises:
        KeyConfigurationError: no key of any kind is set, and it is not the demo.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret
    if settings.jwt_public_key or settings.jwt_jwks_url:
        return None
    if not demo:
        raise KeyConfigurationError(
            "no key for tokens: set RT_JWT_SECRET (32 bytes or more), RT_JWT_PUBLIC_KEY or "
            "RT_JWT_JWKS_URL; `serve --demo` makes a secret of its own"
        )
    return _demo_secret(settings)


def kept_secret(settings: Settings) -> str | None:
    """The secret that is configured, or else the demo's where one was made."""
    path = settings.data_dir / SECRET_FILE
    if settings.jwt_secret is None and path.is_file():
        return path.read_text().strip()
    return settings.jwt_secret


def _demo_secret(settings: Settings) -> str:
    path = settings.data_dir / SECRET_FILE
    try:
        make_folder(settings.data_dir, settings.folder_mode)
        # Written beside and linked: of two that start at once, both use the first one's.
        fresh = path.with_name(f".{SECRET_FILE}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # made by an earlier start
        finally:
            fresh.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise OperatorError(f"cannot keep a secret in {settings.data_dir}: {error}") from error


def key_set(settings: Settings) -> JwksCache | None:
    """The key set that the settings name, to be closed by who asked for it."""
    if settings.jwt_jwks_url is None:
        return None
    return JwksCache(
        settings.jwt_jwks_url,
        ttl_s=settings.jwt_jwks_refresh_s,
        cooldown_s=settings.jwt_jwks_cooldown_s,
    )


def claim_names(settings: Settings) -> dict[str, str]:
    """What the issuer calls the claims that are named otherwise by some."""
    return {"projects": settings.jwt_projects_claim, "roles": settings.jwt_roles_claim}


def token_verifier(settings: Settings, secret: str | None, keys: JwksCache | None) -> TokenVerifier:
    """The verifier that the settings ask for.

    Raises:
        KeyConfigurationError: the keys are missing or weak.
    """
    return TokenVerifier(
        secret=secret,
        public_key=settings.jwt_public_key,
        jwks=keys,
        algorithms=settings.jwt_algorithms,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        claim_names=claim_names(settings),
    )


def token_signer(settings: Settings, secret: str, algorithm: str = "HS256") -> TokenSigner:
    """Signs tokens that this verifier takes.

    Raises:
        KeyConfigurationError: the secret is weak, or the algorithm is not for secrets.
    """
    return TokenSigner(
        secret,
        algorithm,
        settings.jwt_audience,
        settings.jwt_issuer,
        claim_names=claim_names(settings),
    )


def build_tokens(base: Foundation, secret: str | None) -> TokenVerifier:
    """A worker's verifier.

    Raises:
        KeyConfigurationError: the keys are missing or weak.
    """
    keys = key_set(base.settings)
    if keys is not None:
        base.shutdown.push("key-set", keys.close)
    return token_verifier(base.settings, secret, keys)
