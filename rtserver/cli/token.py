"""`token`: the operator signs a token; and the addresses with tokens that the demo prints."""

from collections.abc import Iterable, Sequence

from rtserver.app.tokens import kept_secret, token_signer
from rtserver.auth.tokens import KeyConfigurationError
from rtserver.config.settings import Settings
from rtserver.demo.project import DEMO_PROJECT_ID
from rtserver.model.errors import OperatorError

DEMO_TTL_S = 12 * 3600


def token(
    settings: Settings,
    user: str,
    name: str | None,
    projects: Sequence[str],
    roles: Sequence[str],
    ttl_s: int,
) -> str:
    """A token signed with the configured secret, or with the demo's where none is configured.

    Raises:
        OperatorError: there is no secret, or a value is one that no server would accept.
    """
    secret = kept_secret(settings)
    if secret is None:
        raise KeyConfigurationError(
            "no secret to sign with: set RT_JWT_SECRET, the one that the server has"
        )
    algorithm = next((a for a in settings.jwt_algorithms if a.startswith("HS")), "HS256")
    try:
        signer = token_signer(settings, secret, algorithm)
        return signer.sign(user, name=name, projects=projects, roles=roles, ttl_s=ttl_s)
    except KeyConfigurationError:
        raise
    except ValueError as error:
        raise OperatorError(str(error)) from None


def demo_pages(settings: Settings, secret: str, port: int) -> Iterable[str]:
    """What `make run` prints: addresses with ready tokens, in the fragment, never the query."""
    signer = token_signer(settings, secret)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def address(page: str, user: str, name: str, roles: Sequence[str] = ()) -> str:
        signed = signer.sign(
            user, name=name, projects=[DEMO_PROJECT_ID], roles=roles, ttl_s=DEMO_TTL_S
        )
        return f"{base}{page}#project={DEMO_PROJECT_ID}&token={signed}"

    yield ""
    yield f"rtserver serves the demo project on {base}. Open it as (tokens are good for 12 hours):"
    yield ""
    yield f"  Ada, author    {address('/', 'ada', 'Ada')}"
    yield ""
    yield f"  Ben, reviewer  {address('/', 'ben', 'Ben')}"
    yield ""
    yield f"  Ben, in an old browser  {address('/legacy', 'ben', 'Ben')}"
    yield ""
    yield f"  The audit console  {address('/admin', 'admin', 'Admin', ['admin'])}"
    yield ""
    yield "Stop it with Ctrl-C."
    yield ""
