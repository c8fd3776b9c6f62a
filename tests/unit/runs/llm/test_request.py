"""Requests, and what is learned of refusals."""

import json
from typing import Any

import pytest

from rtserver.runs.llm.message import Message
from rtserver.runs.llm.request import RequestForm, RequestOptions

ASKED = [Message("system", "Be brief."), Message("user", "Hello"), Message("user", "Go on")]


def body(form: RequestForm) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(form.body(ASKED))
    return made


def test_a_plain_request() -> None:
    form = RequestForm("m", RequestOptions())
    assert body(form) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "user", "content": "Go on"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert form.notes == ()


def test_what_the_operator_adds_wins() -> None:
    extra = {"temperature": 0.5, "max_tokens": 5, "stream_options": None}
    sent = body(RequestForm("m", RequestOptions(max_tokens=100, extra=extra)))
    assert {key: sent[key] for key in extra} == extra
    assert not RequestForm("m", RequestOptions(extra=extra)).learn("stream_options")


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported",
        '{"detail":"system role is not supported by this template"}',
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
        "Invalid value for `role`: system",
        "This model does not support system messages",
        "unknown role 'system'",
    ],
)
def test_models_that_take_no_system_message(said: str) -> None:
    form = RequestForm("m", RequestOptions())
    assert form.learn(said)
    assert body(form)["messages"] == [
        {"role": "user", "content": "Be brief.\n\nHello"},
        {"role": "user", "content": "Go on"},
    ]
    assert form.notes == ("no `system` messages",)
    assert not form.learn(said)


@pytest.mark.parametrize(
    "said",
    ["", "context_length_exceeded", "the file system is full", "no such model", "role play" * 999],
)
def test_other_refusals_change_nothing(said: str) -> None:
    form = RequestForm("m", RequestOptions())
    before = form.body(ASKED)
    assert not form.learn(said)
    assert form.body(ASKED) == before


def test_max_tokens_under_another_name() -> None:
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    form = RequestForm("m", RequestOptions(max_tokens=9))
    assert body(form)["max_tokens"] == 9
    assert form.learn(said)
    assert "max_tokens" not in body(form)
    assert body(form)["max_completion_tokens"] == 9
    assert not form.learn(said)
    assert not RequestForm("m", RequestOptions()).learn(said)
