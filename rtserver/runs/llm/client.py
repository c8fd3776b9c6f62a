"""Replies of a language model behind any OpenAI-compatible endpoint, as they are written.

Imported only where a model is configured: an HTTP client takes memory and time to load.
"""

import asyncio
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp.http import HttpProcessingError

from rtserver.lib.backoff import Backoff
from rtserver.runs.llm.endpoint import Endpoint
from rtserver.runs.llm.errors import LlmError, broken, error_of_connection
from rtserver.runs.llm.message import Message
from rtserver.runs.llm.metrics import LlmMetrics
from rtserver.runs.llm.reply import OnText, Reply, ReplyReader
from rtserver.runs.llm.request import RequestForm, RequestOptions
from rtserver.runs.llm.sse import BrokenStreamError

MAX_ATTEMPTS = 3
RETRY_S = 0.5
TRIAL_CHARS = 1000

# A body that can't be decoded raises the second, a time-out the third.
_CONNECTION_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)

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


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying an endpoint out.

    Attributes:
        problem: what is wrong, in words; None where nothing is.
        notes: what was met of its dialect, in words.
    """

    problem: str | None
    notes: tuple[str, ...]


def _unheard(_text: str) -> None:
    """For who does not want to hear it."""


class LanguageModel:
    """One model at one endpoint. Make it once: it remembers what the endpoint wants.

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
        options: RequestOptions | None = None,
        metrics: LlmMetrics | None = None,
        is_demo: bool = False,
    ) -> None:
        """Make a client; nothing is sent.

        Args:
            base_url: see `completions_url`.
            api_key: sent as a bearer token.
            model: what the endpoint is asked for.
            times: how long to wait.
            max_reply_bytes: a longer reply is an error.
            max_reply_tokens: the same, in pieces of the stream, which are tokens at most endpoints.
            options: what more is sent.
            metrics: where it is counted how replies end.
            is_demo: see the class.
        """
        self.name = model
        self.is_demo = is_demo
        self._metrics = metrics
        self._times = times
        self._max_reply_bytes = max_reply_bytes
        self._max_reply_tokens = max_reply_tokens
        options = options or RequestOptions()
        self._form = RequestForm(model, options)
        self._endpoint = Endpoint(
            base_url,
            api_key=api_key,
            headers=options.headers,
            connect_timeout_s=times.connect,
        )

    async def close(self) -> None:
        """Close idle connections."""
        await self._endpoint.close()

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
        backoff = Backoff(RETRY_S, RETRY_S * 2**MAX_ATTEMPTS)
        while True:
            reader = ReplyReader(
                on_text,
                on_reasoning,
                max_bytes=self._max_reply_bytes,
                max_pieces=self._max_reply_tokens,
                secrets=self._endpoint.secrets,
            )
            try:
                return await self._attempt(messages, reader)
            except LlmError as error:
                if not reader.begun and self._form.learn(error.said):
                    _log.info("llm_form_changed", notes=self._form.notes)
                    continue
                if reader.begun or not error.retry or attempt >= MAX_ATTEMPTS:
                    raise
                pause_s = error.retry_after_s
                if pause_s is None:
                    pause_s = backoff.next_s()
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
            except _CONNECTION_ERRORS as error:
                if not reader.is_whole():
                    raise self._broken_off(error, reader, timed_out=clock.expired()) from None
        except BrokenStreamError as error:
            raise broken(str(error), retry=error.retry) from None
        if self._metrics is not None:
            self._metrics.reply_ended(reader.end_kind)
        return reader.outcome()

    async def _stream(
        self, messages: list[Message], reader: ReplyReader, patience: "Patience"
    ) -> None:
        async with self._endpoint.post(self._form.body(messages)) as content:
            async for data in content.iter_any():
                reader.feed(data)
                if reader.done:
                    return
                if reader.pieces:
                    # Also after a finish reason: some servers send one with each piece.
                    patience.begin_anew(self._times.token)
            reader.end()

    def _broken_off(self, error: Exception, reader: ReplyReader, *, timed_out: bool) -> LlmError:
        if reader.pieces:
            return reader.cut(waited_s=self._times.token if timed_out else 0)
        if timed_out:
            return LlmError(
                "upstream_timeout",
                f"The language model did not begin to answer within {self._times.first_token:g} s",
            )
        return error_of_connection(error)

    async def try_out(self) -> Trial:
        """Ask for a word, and read the reply to its end, so that an error after it shows too."""
        said_chars = 0

        def count(text: str) -> None:
            nonlocal said_chars
            said_chars += len(text)
            if said_chars > TRIAL_CHARS:
                raise _EnoughError

        asked = [Message("system", "You answer with one word."), Message("user", "Say OK.")]
        try:
            reply = await self.reply(asked, count)
        except _EnoughError:
            return Trial(None, self._form.notes)
        except LlmError as error:
            return Trial(str(error), self._form.notes)
        return Trial(None, (*reply.notes, *self._form.notes))


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


class _EnoughError(Exception):
    """The endpoint answers, at more length than is worth reading."""
