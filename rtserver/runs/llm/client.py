"""Replies of a language model behind any OpenAI-compatible endpoint, as they are written.

Imported only where a model is configured: the `openai` package takes 33 MB and half a second.
"""

import asyncio
import random
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai
import structlog
from openai.types.chat import ChatCompletionMessageParam

from rtserver.runs.llm.bounded_errors import bound_error_body
from rtserver.runs.llm.errors import LlmError, broken, error_of_connection, error_of_status
from rtserver.runs.llm.message import Message
from rtserver.runs.llm.metrics import LlmMetrics
from rtserver.runs.llm.reply import OnText, Reply, ReplyReader
from rtserver.runs.llm.sse import BrokenStreamError

MAX_ATTEMPTS = 3
RETRY_S = 0.5
TRIAL_CHARS = 1000
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_CONNECTION_ERRORS = (
    openai.APIConnectionError,
    httpx2.HTTPError,
    httpx2.StreamError,
    aiohttp.ClientError,
    ssl.SSLError,
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LlmTimes:
    """How long to wait for an endpoint, in seconds.

    Attributes:
        connect: for a connection.
        first_token: from asking until the first piece of the reply, for each attempt.
        token: for each further piece.
        whole: for everything, attempts and pauses between them included.
    """

    connect: float
    first_token: float
    token: float
    whole: float


def _unheard(_text: str) -> None:
    """For who does not want to hear it."""


class LanguageModel:
    """One model at one endpoint. Make it once: loading certificates takes a tenth of a second.

    Attributes:
        name: the model, as it is told to people.
        is_demo: it is the demo's stand-in.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        times: LlmTimes,
        *,
        max_reply_bytes: int,
        max_reply_tokens: int,
        metrics: LlmMetrics | None = None,
        is_demo: bool = False,
    ) -> None:
        """Make a client; nothing is sent.

        Args:
            base_url: `/chat/completions` is added to it.
            api_key: sent as a bearer token.
            model: what the endpoint is asked for.
            times: how long to wait.
            max_reply_bytes: a longer reply is an error.
            max_reply_tokens: the same, in pieces of the stream, which are tokens at most endpoints.
            metrics: where it is counted how replies end.
            is_demo: see the class.
        """
        self.name = model
        self.is_demo = is_demo
        self._secrets = (api_key,) if api_key else ()
        self._metrics = metrics
        self._times = times
        self._max_reply_bytes = max_reply_bytes
        self._max_reply_tokens = max_reply_tokens
        self._stream_options: dict[str, Any] | None = {"include_usage": True}
        timeout = httpx2.Timeout(None, connect=times.connect, pool=times.connect)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            # The package insists on one; an endpoint that wants none ignores it.
            api_key=api_key or "none",
            max_retries=0,
            timeout=timeout,
            # aiohttp's parser is C: a third of the default transport's time for a chunk.
            http_client=openai.DefaultAioHttpClient(
                timeout=timeout,
                verify=_certificates(base_url),
                # The proposal and the key are for the endpoint that the operator named.
                follow_redirects=False,
                trust_env=urlsplit(base_url).hostname not in LOOPBACK,
                event_hooks={"response": [bound_error_body]},
            ),
        )

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def reply(
        self, messages: list[Message], on_text: OnText, on_reasoning: OnText = _unheard
    ) -> Reply:
        """Have a reply written. Cancelling this closes the request.

        Args:
            messages: what is said to the model.
            on_text: called with each piece of the reply, in order. May raise to stop it.
            on_reasoning: called with each piece of what the model thinks before it answers. Where
                an attempt fails before the answer began, what it thought comes anew.

        Raises:
            LlmError: there is no whole reply. Pieces may have been handed on all the same.
        """
        whole = asyncio.timeout(self._times.whole)
        try:
            async with whole:
                return await self._with_retries(messages, on_text, on_reasoning)
        except TimeoutError:
            if not whole.expired():
                raise
            raise LlmError(
                "upstream_timeout",
                f"The language model's reply was not complete after {self._times.whole:g} s",
            ) from None

    async def _with_retries(
        self, messages: list[Message], on_text: OnText, on_reasoning: OnText
    ) -> Reply:
        attempt = 1
        while True:
            reader = ReplyReader(
                on_text,
                on_reasoning,
                max_bytes=self._max_reply_bytes,
                max_pieces=self._max_reply_tokens,
                secrets=self._secrets,
            )
            try:
                return await self._attempt(messages, reader)
            except LlmError as error:
                if reader.begun or not error.retry or attempt >= MAX_ATTEMPTS:
                    raise
                pause_s = error.retry_after_s
                if pause_s is None:
                    pause_s = RETRY_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
                _log.warning(
                    "llm_retried", reason=error.reason, attempt=attempt, pause_s=round(pause_s, 2)
                )
                await asyncio.sleep(pause_s)
                attempt += 1

    async def _attempt(self, messages: list[Message], reader: ReplyReader) -> Reply:
        clock = asyncio.timeout(self._times.first_token)
        try:
            try:
                async with clock:
                    await self._stream(messages, reader, Patience(clock))
            except TimeoutError:
                if not clock.expired():
                    raise
                if not reader.is_whole():
                    raise self._too_slow(reader) from None
            except openai.APIStatusError as error:
                if error.status_code in (400, 422) and self._drop_stream_options(error):
                    raise LlmError("upstream_refused", "", retry=True, retry_after_s=0) from None
                raise error_of_status(error, self._secrets) from None
            except _CONNECTION_ERRORS as error:
                if not reader.is_whole():
                    raise reader.cut() if reader.pieces else error_of_connection(error) from None
        except BrokenStreamError as error:
            raise broken(str(error), retry=error.retry) from None
        if self._metrics is not None:
            self._metrics.reply_ended(reader.end_kind)
        return reader.outcome()

    def _drop_stream_options(self, error: openai.APIStatusError) -> bool:
        """Some endpoints refuse `stream_options`; without it they just don't tell the usage."""
        if self._stream_options is None or "stream_options" not in str(error.body):
            return False
        self._stream_options = None
        return True

    async def _stream(
        self, messages: list[Message], reader: ReplyReader, patience: "Patience"
    ) -> None:
        said: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": message.content}
            if message.role == "system"
            else {"role": "user", "content": message.content}
            for message in messages
        ]
        options: dict[str, Any] = {}
        if self._stream_options is not None:
            options["stream_options"] = self._stream_options
        request = self._client.chat.completions.with_streaming_response.create(
            model=self.name, messages=said, stream=True, **options
        )
        async with request as response:
            async for data in response.iter_bytes():
                reader.feed(data)
                if reader.done:
                    return
                if reader.pieces:
                    # Also after a finish reason: some servers send one with each piece.
                    patience.begin_anew(self._times.token)
            reader.end()

    def _too_slow(self, reader: ReplyReader) -> LlmError:
        if reader.pieces:
            return reader.cut(waited_s=self._times.token)
        return LlmError(
            "upstream_timeout",
            f"The language model did not begin to answer within {self._times.first_token:g} s",
        )

    async def try_out(self) -> str | None:
        """Ask for a short reply and read it; what went wrong, in words."""
        said_chars = 0

        def count(text: str) -> None:
            nonlocal said_chars
            said_chars += len(text)
            if said_chars > TRIAL_CHARS:
                raise _EnoughError

        try:
            await self.reply([Message("user", "Say OK.")], count)
        except _EnoughError:
            return None
        except LlmError as error:
            return str(error)
        return None


class Patience:
    """How long to wait for what comes next, begun anew with each piece.

    A timer a piece would cost more than reading it. So the timer is set a little later than it has
    to be, and moved only when that is used up: a wait ends after `seconds` to 1.1 times that.
    """

    def __init__(self, clock: asyncio.Timeout) -> None:
        self._clock = clock
        self._now_s = asyncio.get_running_loop().time
        self._seconds = 0.0
        self._until_s = 0.0

    def begin_anew(self, seconds: float) -> None:
        """Wait for so long from now."""
        needed_s = self._now_s() + seconds
        if seconds == self._seconds and needed_s <= self._until_s:
            return
        self._seconds = seconds
        self._until_s = needed_s + seconds / 10
        self._clock.reschedule(self._until_s)


def _certificates(base_url: str) -> ssl.SSLContext:
    if urlsplit(base_url).scheme == "http":
        # None are needed, and loading them takes a tenth of a second; so nothing is trusted.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


class _EnoughError(Exception):
    """The endpoint answers, at more length than is worth reading."""
