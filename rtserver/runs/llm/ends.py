"""Finish reasons: what the word means with which a server says that a model has stopped.

Only what stands here as good ends a reply well. A word that is in no row is an error that names it:
a reply of which nobody knows how it ended is not written into files.
"""

from dataclasses import dataclass
from enum import StrEnum


class EndKind(StrEnum):
    """What a finish reason says of the reply before it."""

    GOOD = "good"
    CUT = "cut"
    FILTERED = "filtered"
    FAILED = "failed"
    TOOLS = "tools"
    UNKNOWN = "unknown"
    NONE = "none"
    """It is no end, and the model goes on; or there was none at all."""


@dataclass(frozen=True, slots=True)
class End:
    """A finish reason.

    Attributes:
        reason: as in the table: lower case, words joined by `_`.
        kind: what follows from it.
        meaning: completes "The language model's reply ...".
        server: one that sends it.
    """

    reason: str
    kind: EndKind
    meaning: str
    server: str

    def __str__(self) -> str:
        return f"{self.meaning} (finish reason {self.reason!r})"


_OWN_END = "came to its end"
_STOP_TEXT = "came to a text at which it was to stop"
_LIMIT = "was cut at its limit of tokens"
_WINDOW = "was cut at the end of the model's window"
_FILTER = "was filtered out by the endpoint"
_DECLINED = "is a refusal"
_STOPPED = "was stopped at the endpoint"
_FAILURE = "broke off because the endpoint failed"
_TOO_LATE = "took the endpoint too long"
_TOOL = "asks for a tool, and it was offered none"
_GOES_ON = "goes on"

_TABLE: dict[EndKind, dict[str, tuple[tuple[str, str], ...]]] = {
    EndKind.GOOD: {
        _OWN_END: (
            ("stop", "OpenAI, and nearly every other"),
            ("eos", "Together AI"),
            ("eos_token", "Text Generation Inference"),
            ("eosfound", "LM Studio"),
            ("end_turn", "Anthropic"),
            ("end_id", "TensorRT-LLM"),
            ("end_of_text", "SambaNova"),
            ("endoftext", "AI21"),
            ("complete", "Cohere"),
            ("completed", "OpenAI's Responses, through gateways"),
            ("finish", "Amazon Titan"),
            ("finished", "FastChat's workers"),
            ("normal", "Baidu"),
            ("done", "Ollama's own API, through gateways"),
            ("reason_stop", "xAI"),
            ("finish_reason_stop", "Gemini, through gateways"),
            ("alternative_status_final", "YandexGPT"),
        ),
        _STOP_TEXT: (
            ("stop_sequence", "Anthropic, Text Generation Inference"),
            ("stop_sequence_reached", "Aleph Alpha"),
            ("stop_words", "TensorRT-LLM"),
            ("stop_criteria_met", "Amazon Titan"),
            ("stopstringfound", "LM Studio"),
        ),
    },
    EndKind.CUT: {
        _LIMIT: (
            ("length", "OpenAI, and nearly every other"),
            ("max_tokens", "Anthropic, Gemini, Cohere"),
            ("max_output_tokens", "OpenAI's Responses, through gateways"),
            ("max_output", "MiniMax"),
            ("maximum_tokens", "Aleph Alpha"),
            ("token_limit", "watsonx"),
            ("maxpredictedtokensreached", "LM Studio"),
            ("reason_max_len", "xAI"),
            ("finish_reason_max_tokens", "Gemini, through gateways"),
            ("alternative_status_truncated_final", "YandexGPT"),
        ),
        _WINDOW: (
            ("model_length", "Mistral"),
            ("model_context_window_exceeded", "Anthropic, Zhipu"),
            ("context_length", "Reka"),
            ("contextlengthreached", "LM Studio"),
            ("error_limit", "Cohere"),
            ("reason_max_context", "xAI"),
        ),
        "was interrupted by the endpoint": (("pause_turn", "Anthropic"), ("preempt", "MLC LLM")),
    },
    EndKind.FILTERED: {
        _FILTER: (
            ("content_filter", "OpenAI, Azure"),
            ("content_filtered", "Amazon Bedrock"),
            ("guardrail_intervened", "Amazon Bedrock"),
            ("safety", "Gemini"),
            ("image_safety", "Gemini"),
            ("recitation", "Gemini"),
            ("blocklist", "Gemini"),
            ("prohibited_content", "Gemini"),
            ("spii", "Gemini"),
            ("language", "Gemini"),
            ("sensitive", "Zhipu, Hunyuan"),
            ("blacklist", "GigaChat"),
            ("error_toxic", "Cohere"),
            ("alternative_status_content_filter", "YandexGPT"),
        ),
        _DECLINED: (("refusal", "Anthropic"),),
    },
    EndKind.FAILED: {
        _STOPPED: (
            ("abort", "vLLM, SGLang"),
            ("aborted", "gateways"),
            ("cancel", "gateways"),
            ("cancelled", "watsonx, TensorRT-LLM"),
            ("canceled", "gateways"),
            ("user_cancel", "Cohere"),
            ("userstopped", "LM Studio"),
            ("modelunloaded", "LM Studio"),
            ("unload", "Ollama"),
            ("load", "Ollama"),
        ),
        _FAILURE: (
            ("error", "vLLM, Mistral, OpenRouter, Cohere"),
            ("failed", "LM Studio"),
            ("network_error", "Zhipu"),
            ("insufficient_system_resource", "DeepSeek"),
            ("malformed_model_output", "Amazon Bedrock"),
            ("malformed_response", "Gemini"),
            ("other", "Gemini"),
        ),
        _TOO_LATE: (
            ("time_limit", "watsonx"),
            ("reason_time_limit", "xAI"),
            ("timeout", "Cohere"),
            ("timed_out", "TensorRT-LLM"),
        ),
    },
    EndKind.TOOLS: {
        _TOOL: (
            ("tool_calls", "OpenAI, and nearly every other"),
            ("tool_call", "Cohere"),
            ("toolcalls", "LM Studio"),
            ("tool_use", "Anthropic"),
            ("function_call", "OpenAI, until 2024"),
            ("malformed_function_call", "Gemini"),
            ("malformed_tool_use", "Amazon Bedrock"),
            ("unexpected_tool_call", "Gemini"),
            ("too_many_tool_calls", "Gemini"),
            ("reason_tool_calls", "xAI"),
        ),
    },
    EndKind.NONE: {
        _GOES_ON: (
            ("", "one-api and other gateways"),
            ("null", "DashScope"),
            ("none", "gateways written in Python"),
            ("nil", "gateways written in Go"),
            ("undefined", "gateways written in JavaScript"),
            ("not_finished", "watsonx, TensorRT-LLM"),
            ("finish_reason_unspecified", "Gemini"),
            ("alternative_status_partial", "YandexGPT"),
        ),
    },
}

ENDS: dict[str, End] = {
    reason: End(reason, kind, meaning, server)
    for kind, meanings in _TABLE.items()
    for meaning, reasons in meanings.items()
    for reason, server in reasons
}
"""Every known finish reason, by its word."""

_MAX_SHOWN_CHARS = 60


def end_of(reason: object) -> End:
    """What a server means.

    Servers write the same word as `stop`, `STOP` and `FinishReason.STOP`, and some say after a
    colon what more they know (`content_filter: SAFETY`).

    Args:
        reason: as it came; None where there was none.
    """
    if not reason:  # also `false`, 0 and `{}`
        return ENDS[""]
    if not isinstance(reason, str):
        return _unknown(type(reason).__name__)
    word = reason.strip().lower().replace("-", "_").replace(" ", "_")
    known = ENDS.get(word) or ENDS.get(word.rpartition(".")[2] or "?")
    if known is None:
        first = ENDS.get(word.partition(":")[0] or "?")
        # More words after a bad end say why. After a good one, nobody knows what they say.
        known = first if first and first.kind not in (EndKind.GOOD, EndKind.NONE) else None
    return known or _unknown(reason)


def _unknown(reason: str) -> End:
    shown = "".join(char if char.isprintable() else " " for char in reason[:_MAX_SHOWN_CHARS])
    return End(shown, EndKind.UNKNOWN, "ended in a way that this server does not know", "")
