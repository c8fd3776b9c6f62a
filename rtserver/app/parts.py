"""Parts of a worker that the settings alone decide."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtserver.auth.jwks import JwksCache
from rtserver.auth.tokens import TokenVerifier
from rtserver.config.settings import Settings
from rtserver.lib.data_folder import make_folder
from rtserver.model.errors import OperatorError
from rtserver.revisions.model import Revision
from rtserver.runs.llm.metrics import LlmMetrics
from rtserver.runs.validation.validator import Validator
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.proposals import MongoProposals
from store.documents.revisions import REVISIONS, MongoRevisions, revision_document

if TYPE_CHECKING:
    from rtserver.runs.llm.client import LanguageModel

SERVER_ROOT = Path(__file__).resolve().parents[2]
MAX_REPORT_BYTES = 512 * 1024


async def token_verifier(settings: Settings, secret: str | None) -> tuple[TokenVerifier, Any]:
    """The verifier that the settings ask for, and the key cache to close after it."""
    jwks = JwksCache(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
    verifier = TokenVerifier(
        secret=secret,
        public_key=settings.jwt_public_key,
        jwks=jwks,
        algorithms=settings.jwt_algorithms,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )
    return verifier, jwks


def make_data_folder(settings: Settings) -> None:
    """Make the data directory where it is not there yet, before anybody makes a folder in it.

    Raises:
        OperatorError: it can't be made.
    """
    try:
        make_folder(settings.data_dir, settings.folder_mode)
    except OSError as error:
        raise OperatorError(
            f"cannot make the data directory {settings.data_dir} ({error.strerror}): "
            "set RT_DATA_DIR to one that can be written to"
        ) from error


def make_validator(settings: Settings) -> Validator:
    """The validator that the settings ask for."""
    return Validator(
        settings.validation_command,
        settings.validation_report_command,
        settings.validation_timeout_s,
        settings.workspaces_dir,
        SERVER_ROOT,
        # A report is one event, and one event must fit into every viewer's outbox.
        max_report_bytes=min(MAX_REPORT_BYTES, settings.outbox_bytes // 2),
    )


def make_model(
    settings: Settings,
    base_url: str,
    name: str,
    *,
    metrics: LlmMetrics | None = None,
    is_demo: bool = False,
) -> "LanguageModel":
    """A language model with the times and bounds that the settings ask for."""
    # Not above: an HTTP client takes memory and time to load, and most workers have no model.
    from rtserver.runs.llm.client import LanguageModel, LlmTimes  # noqa: PLC0415
    from rtserver.runs.llm.request import RequestOptions  # noqa: PLC0415

    return LanguageModel(
        base_url,
        None if is_demo else settings.llm_api_key,
        name,
        LlmTimes(
            connect=settings.llm_connect_timeout_s,
            first_token=settings.llm_first_token_timeout_s,
            token=settings.llm_token_timeout_s,
            whole=settings.llm_timeout_s,
        ),
        max_reply_bytes=settings.llm_max_reply_bytes,
        max_reply_tokens=settings.llm_max_reply_tokens,
        # The demo's stand-in is no place for an operator's secrets.
        options=None
        if is_demo
        else RequestOptions(
            max_tokens=settings.llm_max_tokens,
            extra=settings.llm_extra,
            headers=settings.llm_headers,
        ),
        metrics=metrics,
        is_demo=is_demo,
    )


def make_proposals(
    settings: Settings, database: Database, relay: OutboxRelay
) -> tuple[MongoProposals, MongoRevisions]:
    """The stores of proposals, and of the revisions that come with their changes."""
    proposals = MongoProposals(
        database,
        relay,
        required_approvals=settings.required_approvals,
        records={Revision: (REVISIONS, revision_document)},
    )
    return proposals, MongoRevisions(database)
