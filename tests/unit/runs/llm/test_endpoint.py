"""Where completions are asked for."""

import pytest

from rtserver.runs.llm.endpoint import completions_url


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h/v1//", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://h/", "http://h/chat/completions"),
        ("http://h:8/v1/chat/completions", "http://h:8/v1/chat/completions"),
        ("http://h/v1/chat/completions/", "http://h/v1/chat/completions"),
        ("https://h/v1#x", "https://h/v1/chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/a%20b?api-version=2024-06-01",
            "https://x.openai.azure.com/openai/deployments/a%20b/chat/completions"
            "?api-version=2024-06-01",
        ),
        ("http://h/v1/chat/completions?a=b&c=%2F", "http://h/v1/chat/completions?a=b&c=%2F"),
        ("http://[::1]:8/v1", "http://[::1]:8/v1/chat/completions"),
    ],
)
def test_addresses(base_url: str, url: str) -> None:
    assert str(completions_url(base_url)) == url
