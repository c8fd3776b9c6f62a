"""The language model: the one that the settings name, or the demo's stand-in."""

from typing import TYPE_CHECKING

import structlog

from rtserver.app.foundation import Foundation
from rtserver.config.settings import Settings
from rtserver.demo.llm import DEMO_MODEL, demo_server
from rtserver.runs.llm.metrics import LlmMetrics

if TYPE_CHECKING:
    from rtserver.runs.llm.client import LanguageModel

_log = structlog.get_logger()


def language_model(
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


def build_language_model(base: Foundation, *, demo: bool) -> "LanguageModel | None":
    """A worker's language model; None where it has none.

    Args:
        base: what every builder is given.
        demo: whether the demo's stand-in serves where the settings name no model.
    """
    settings, metrics = base.settings, base.metrics.llm
    if settings.llm_base_url is not None and settings.llm_model is not None:
        model = language_model(settings, settings.llm_base_url, settings.llm_model, metrics=metrics)
    else:
        if settings.llm_base_url is not None:
            _log.warning("iterations_off", problem="RT_LLM_BASE_URL is set, RT_LLM_MODEL is not")
        if not demo:
            return None
        model = language_model(settings, _demo_url(base), DEMO_MODEL, metrics=metrics, is_demo=True)
    base.shutdown.push("language-model", model.close)
    return model


def _demo_url(base: Foundation) -> str:
    """Start the stand-in; where it answers."""
    stand_in = demo_server()
    base.shutdown.push("demo-language-model", stand_in.stop)
    stand_in.start()
    _log.warning(
        "demo_llm_started",
        note="no RT_LLM_BASE_URL and RT_LLM_MODEL: revisions are made up by the demo's "
        "stand-in for a language model",
        base_url=stand_in.base_url,
    )
    return stand_in.base_url
