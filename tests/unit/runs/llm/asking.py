"""A model at an endpoint of the tests, and what goes wrong with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtserver.demo.completions_server import Respond
from rtserver.runs.llm.client import LanguageModel, LlmTimes
from rtserver.runs.llm.errors import LlmError
from rtserver.runs.llm.message import Message
from tests.support.llm_server import KEY, LlmServer, llm_server

HELLO = [Message("system", "Be brief."), Message("user", "Hello")]


@asynccontextmanager
async def asking(
    respond: Respond, times: LlmTimes | None = None, **options: Any
) -> AsyncIterator[tuple[LanguageModel, LlmServer]]:
    async with llm_server(respond) as server:
        given = {"max_reply_bytes": 100_000, "max_reply_tokens": 10_000, **options}
        times = times or LlmTimes(connect=5, first_token=20, token=20, whole=40)
        model = LanguageModel(server.base_url, KEY, "model-1", times, **given)
        try:
            yield model, server
        finally:
            await model.close()


async def failure(
    respond: Respond, times: LlmTimes | None = None, **options: Any
) -> tuple[LlmError, list[str], LlmServer]:
    async with asking(respond, times, **options) as (model, server):
        pieces: list[str] = []
        with pytest.raises(LlmError) as caught:
            await model.reply(HELLO, pieces.append)
        assert KEY not in str(caught.value)
        return caught.value, pieces, server
