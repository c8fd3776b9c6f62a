"""`rtserver.model.webhook`."""

import json
from pathlib import Path
from typing import Any

import pytest

from rtserver.model.webhook import (
    WebhookSpecError,
    check_webhooks,
    is_allowed_host,
    parse_webhook_host,
    parse_webhooks,
)

SECRET = "whsec_" + "QUFB" * 8
CI: dict[str, Any] = {
    "id": "ci",
    "url": "https://Hooks.example.com/ci?x=1",
    "secret": SECRET,
    "projects": ["p1", "p.2"],
}


def test_an_endpoint_is_read_from_json_or_a_file(tmp_path: Path) -> None:
    text = json.dumps([{**CI, "secret": [SECRET, SECRET], "types": ["run.*"]}])
    file = tmp_path / "webhooks.json"
    file.write_text(text)
    (endpoint,) = parse_webhooks(text)
    assert parse_webhooks(str(file)) == (endpoint,)
    assert endpoint.projects == ("p1", "p.2")
    assert endpoint.secrets == (b"AAA" * 8,) * 2
    assert endpoint.host == "hooks.example.com"
    assert "AAA" not in repr(endpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "C I"},
        {"id": "ci\n"},
        {"url": "ftp://hooks.example.com"},
        {"url": "https://user@hooks.example.com"},
        {"url": "https://hooks.example.com:0"},
        {"url": "https://hooks.example.com:x"},
        {"secret": "QUFB" * 8},
        {"secret": "whsec_QUFB"},
        {"secret": "whsec_" + "?" * 32},
        {"secret": []},
        {"projects": []},
        {"projects": ["$audit"]},
        {"types": ["*.x"]},
        {"audiences": ["workers"]},
        {"retry_s": 0},
        {"more": 1},
    ],
)
def test_what_is_no_endpoint_is_refused_without_showing_secrets(change: dict[str, Any]) -> None:
    with pytest.raises(WebhookSpecError) as caught:
        parse_webhooks(json.dumps([{**CI, **change}]))
    assert "QUFB" not in str(caught.value)


@pytest.mark.parametrize("text", ["/nowhere/webhooks.json", "[", "[{}]", "[" * 100_000])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(WebhookSpecError):
        parse_webhooks(text)


def test_two_endpoints_have_two_ids() -> None:
    with pytest.raises(WebhookSpecError):
        parse_webhooks(json.dumps([CI, CI]))


def test_endpoints_are_at_allowed_hosts_and_told_over_tls() -> None:
    endpoints = parse_webhooks(json.dumps([CI]))
    check_webhooks(endpoints, ["*.example.com"], private=False)
    with pytest.raises(WebhookSpecError):
        check_webhooks(endpoints, ["example.com"], private=True)
    plain = parse_webhooks(json.dumps([{**CI, "url": "http://hooks.example.com"}]))
    check_webhooks(plain, ["hooks.example.com"], private=True)
    with pytest.raises(WebhookSpecError):
        check_webhooks(plain, ["hooks.example.com"], private=False)


def test_a_wildcard_is_of_what_is_below() -> None:
    assert is_allowed_host("a.b.example.com", ["*.example.com"])
    assert not is_allowed_host("example.com", ["*.example.com"])
    assert not is_allowed_host("badexample.com", ["*.example.com"])
    assert parse_webhook_host("*.Example.com") == "*.example.com"
    for text in ("*", "a*.com", "https://a", "a b"):
        with pytest.raises(ValueError, match=r".*"):
            parse_webhook_host(text)
