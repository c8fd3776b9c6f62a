"""Settings that add to requests."""

import argparse
import json

import pytest

from rtserver.config.engine import SettingError, add_flags, flags_of
from rtserver.config.settings import SETTING_SPECS, Settings


def headers(text: str) -> tuple[tuple[str, str], ...]:
    return Settings.load({"RT_LLM_HEADERS": text}, {}).llm_headers


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('{"api-key": "x y", "A": "b"}', (("api-key", "x y"), ("A", "b"))),
        ("api-key: x:y", (("api-key", "x:y"),)),
        ("A: b\r\n\n  C :  d  \n", (("A", "b"), ("C", "d"))),
        ("  ", ()),
    ],
)
def test_headers(text: str, taken: tuple[tuple[str, str], ...]) -> None:
    assert headers(text) == taken


@pytest.mark.parametrize(
    "text",
    [
        "no colon hunter2",
        "a b: hunter2",
        ": hunter2",
        "A:",
        "A: hunter2\x00",
        "A: hunter\u00e42",
        "Content-Length: 5",
        "HOST: hunter2",
        '{"A": 5}',
        '{"A": ["hunter2"]}',
        '{"A": "hunter2\\r\\nB: c"}',
        '{"A": "hunter2"',
        "[]: hunter2",
        "A: " + "x" * 70_000 + "\x01",
    ],
)
def test_what_is_no_header_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        headers(text)
    assert "RT_LLM_HEADERS (--llm-headers)" in str(caught.value)
    assert "hunter" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_merged_into_requests() -> None:
    given = {"temperature": 0.2, "chat_template_kwargs": {"enable_thinking": False}}
    settings = Settings.load({"RT_LLM_EXTRA": json.dumps(given)}, {})
    assert settings.llm_extra == given
    with pytest.raises(TypeError):
        settings.llm_extra["temperature"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temperature=1", "it is no JSON"),
        ("[1]", "it is no JSON object"),
        ("5", "it is no JSON object"),
        ("[" * 50_000, "it is no JSON"),
        ('{"messages": []}', "it may not set messages"),
        ('{"stream": false, "model": "x", "a": 1}', "it may not set model, stream"),
        ('{"a": "' + "x" * 70_000 + '"}', "it is too large"),
    ],
)
def test_what_can_not_be_merged(text: str, words: str) -> None:
    with pytest.raises(SettingError, match="RT_LLM_EXTRA") as caught:
        Settings.load({"RT_LLM_EXTRA": text}, {})
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_values_are_secrets() -> None:
    settings = Settings.load(
        {
            "RT_LLM_HEADERS": "api-key: hunter22\nAuthorization: Bearer hunter33",
            "RT_LLM_BASE_URL": "https://h/v1?subscription-key=hunter44&api-version=2024-06-01",
            "RT_AUDIT_WITNESS_URL": "https://w/notes?key=hunter55",
        },
        {},
    )
    assert {"hunter22", "hunter33", "Bearer hunter33", "hunter44"} <= settings.secrets
    assert "hunter55" in settings.secrets
    assert "2024-06-01" not in settings.secrets
    assert "hunter2" not in repr(settings)
    assert "hunter3" not in repr(settings)


def test_flags_are_repeated() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, SETTING_SPECS)
    arguments = parser.parse_args(["--llm-headers", "A: b", "--llm-headers", "C: d"])
    settings = Settings.load({}, flags_of(arguments, SETTING_SPECS))
    assert settings.llm_headers == (("A", "b"), ("C", "d"))
