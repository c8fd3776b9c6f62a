"""Tokens that the workers under test accept."""

import time
from collections.abc import Mapping
from typing import Any

import jwt

SECRET = "a secret of the tests, long enough for HS256"


def token(
    user: str = "ada",
    *projects: str,
    roles: tuple[str, ...] = (),
    ttl_s: float = 3600,
    secret: str = SECRET,
    **claims: Any,
) -> str:
    """Sign a token with PyJWT rather than with the server's own signer.

    Args:
        user: `sub`.
        projects: ids; every project where none is named.
        roles: any of `admin`, `service`.
        ttl_s: until `exp`, from now; negative for one that is over.
        secret: the HMAC key.
        claims: further claims; None takes one out.
    """
    payload: dict[str, Any] = {
        "sub": user,
        "exp": time.time() + ttl_s,
        "projects": list(projects) or ["*"],
        "roles": list(roles),
        **claims,
    }
    payload = {claim: value for claim, value in payload.items() if value is not None}
    return jwt.encode(payload, secret, algorithm="HS256")


def bearer(signed: str) -> Mapping[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {signed}"}
