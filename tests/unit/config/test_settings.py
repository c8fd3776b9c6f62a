import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.config.engine import SettingError, SettingSpec
from rtserver.config.kinds import KIB, MIB
from rtserver.config.settings import SETTING_SPECS, Settings


def _refusal(**environ: str) -> SettingError:
    with pytest.raises(SettingError) as refused:
        Settings.load(environ, {})
    return refused.value


def test_defaults_are_those_of_the_contract() -> None:
    settings = Settings.load({}, {})
    expected = {
        "host": "127.0.0.1",
        "port": 8000,
        "mongodb_uri": None,
        "mongodb_database": "rtserver",
        "data_dir": Path("var").absolute(),
        "jwt_secret": None,
        "jwt_public_key": None,
        "jwt_jwks_url": None,
        "jwt_algorithms": (),
        "jwt_audience": None,
        "jwt_issuer": None,
        "allowed_origins": (),
        "ping_interval_s": 30.0,
        "pong_timeout_s": 10.0,
        "max_connections_per_user": 5,
        "max_connections_per_project": 50,
        "event_log_bytes": 256 * MIB,
        "audit_log_bytes": 256 * MIB,
        "outbox_bytes": MIB,
        "max_message_bytes": 64 * KIB,
        "workspace_root": None,
        "validation_command": None,
        "validation_report_command": None,
        "validation_timeout_s": 300.0,
        "llm_base_url": None,
        "llm_api_key": None,
        "llm_model": None,
        "llm_timeout_s": 600.0,
        "log_format": "text",
    }
    assert {name: getattr(settings, name) for name in expected} == expected


def test_every_field_is_a_setting_with_a_reason_and_a_section() -> None:
    specs = SETTING_SPECS
    fields = {field.name for field in dataclasses.fields(Settings)} - {"unknown_environment"}
    assert {spec.attribute for spec in specs} == fields
    assert all(spec.reason.endswith(".") and spec.section for spec in specs)


@pytest.mark.parametrize("spec", SETTING_SPECS, ids=lambda spec: spec.env_name)
def test_a_default_is_a_value_that_the_setting_itself_takes(spec: SettingSpec) -> None:
    if spec.default in (None, (), ""):
        assert spec.unset, "a default that is no value needs words"
    else:
        assert spec.read(str(spec.default)) in (spec.default, Path("var").absolute())


@pytest.mark.parametrize("spec", SETTING_SPECS, ids=lambda spec: spec.env_name)
def test_units_are_in_the_name(spec: SettingSpec) -> None:
    assert spec.attribute.endswith("_bytes") == (spec.kind.unit == "bytes")
    is_rate = spec.kind.unit == "a second"
    assert (spec.attribute.endswith("_s") and not is_rate) == (spec.kind.unit == "seconds")


def test_only_the_report_command_tells_empty_from_unset() -> None:
    assert Settings.load({"RT_VALIDATION_REPORT_COMMAND": ""}, {}).validation_report_command == ""
    assert Settings.load({"RT_VALIDATION_COMMAND": ""}, {}).validation_command is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RT_PORT", "eighty"),
        ("RT_PORT", "65536"),
        ("RT_PORT", "-1"),
        ("RT_PORT", "80.0"),
        ("RT_PORT", "٨٠"),
        ("RT_HOST", "a b"),
        ("RT_OUTBOX_BYTES", "1MB"),
        ("RT_OUTBOX_BYTES", "1.5MiB"),
        ("RT_OUTBOX_BYTES", "1"),
        ("RT_OUTBOX_BYTES", "9" * 400),
        ("RT_PING_INTERVAL_S", "0"),
        ("RT_PING_INTERVAL_S", "nan"),
        ("RT_PING_INTERVAL_S", "inf"),
        ("RT_PING_INTERVAL_S", "1e999"),
        ("RT_PING_INTERVAL_S", "30s"),
        ("RT_MAX_CONNECTIONS_PER_USER", "0"),
        ("RT_MAX_MESSAGES_PER_S", "many"),
        ("RT_MONGODB_DATABASE", "a.b"),
        ("RT_ALLOWED_ORIGINS", "*"),
        ("RT_ALLOWED_ORIGINS", "https://*.example.com"),
        ("RT_ALLOWED_ORIGINS", "null"),
        ("RT_ALLOWED_ORIGINS", "https://a.example/page"),
        ("RT_ALLOWED_ORIGINS", "https://a.example:port"),
        ("RT_JWT_ALGORITHMS", "none"),
        ("RT_JWT_ALGORITHMS", "HS256,none"),
        ("RT_JWT_JWKS_URL", "file:///etc/passwd"),
        ("RT_LLM_BASE_URL", "localhost:8080"),
        ("RT_LLM_BASE_URL", "http://[::1"),
        ("RT_VALIDATION_COMMAND", "sh -c 'x"),
        ("RT_VALIDATION_COMMAND", "'' x"),
        ("RT_LOG_FORMAT", "xml"),
        ("RT_LOG_LEVEL", "loud"),
        ("RT_WORKER_ID", "a b"),
    ],
)
def test_a_wrong_value_is_refused_in_one_clear_line(name: str, text: str) -> None:
    refused = _refusal(**{name: text})
    line = str(refused)
    assert "\n" not in line
    assert refused.env_name == name
    assert line.startswith(f"{name} ({refused.flag}) ")
    assert refused.flag == "--" + name.removeprefix("RT_").lower().replace("_", "-")
    assert text[:40] in line
    assert refused.allowed
    assert line.endswith(refused.allowed)


@given(st.text(alphabet=st.characters(exclude_characters="\0"), min_size=1))
def test_any_text_gives_a_port_or_a_refusal_in_one_line(text: str) -> None:
    refused = ""
    port = 0
    try:
        port = Settings.load({"RT_PORT": text}, {}).port
    except SettingError as error:
        refused = str(error)
    assert 0 <= port <= 65535
    assert len(refused.splitlines()) <= 1


def test_the_representation_has_no_secrets() -> None:
    environ = {
        "RT_JWT_SECRET": "hunter2" * 5,
        "RT_LLM_API_KEY": "hunter2",
        "RT_MONGODB_URI": "mongodb://someone:hunter2@db",
    }
    settings = Settings.load(environ, {})
    assert settings.llm_api_key == "hunter2"
    assert "hunter2" not in repr(settings)


def test_secrets_are_marked_as_such() -> None:
    secrets = {spec.env_name for spec in SETTING_SPECS if spec.secret}
    assert secrets == {
        *("RT_JWT_SECRET", "RT_LLM_API_KEY", "RT_LLM_HEADERS", "RT_MONGODB_URI"),
        "RT_WEBHOOKS",
    }


def test_a_mistake_in_webhooks_is_named_and_no_secret_shown() -> None:
    url, key = "http://hooks.example.com/hunter2", "QUFB" * 8
    endpoint = f'{{"id":"ci","url":"{url}","secret":"whsec_{key}","projects":["p1"]}}'
    environ = {"RT_WEBHOOKS": f"[{endpoint}]", "RT_WEBHOOK_HOSTS": "hooks.example.com"}
    for more, problem in (
        ({}, "RT_WEBHOOK_PRIVATE"),
        ({"RT_WEBHOOK_HOSTS": ""}, "RT_WEBHOOK_HOSTS"),
        ({"RT_WEBHOOKS": f"[{endpoint},{endpoint}]"}, "the same id"),
    ):
        with pytest.raises(SettingError, match=problem) as caught:
            Settings.load({**environ, **more}, {})
        assert "hunter2" not in str(caught.value)
        assert key not in str(caught.value)
    settings = Settings.load({**environ, "RT_WEBHOOK_PRIVATE": "on"}, {})
    assert settings.secrets == {url, key}
    assert "hunter2" not in repr(settings)


def test_workspaces_are_in_the_data_directory_unless_set() -> None:
    assert Settings.load({"RT_DATA_DIR": "/d"}, {}).workspaces_dir == Path("/d/workspaces")


def test_workers_differ_unless_named() -> None:
    first, second = Settings.load({}, {}), Settings.load({}, {})
    assert first.worker_id != second.worker_id
    assert Settings.load({"RT_WORKER_ID": first.worker_id}, {}).worker_id == first.worker_id


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.load({}, {}).port = 1  # type: ignore[misc]


def test_the_secrets_are_the_keys_and_what_the_address_of_mongodb_holds() -> None:
    environ = {
        "RT_JWT_SECRET": "correct horse",
        "RT_LLM_API_KEY": "sk-0123456789",
        "RT_MONGODB_URI": "mongodb://u:p%40ss@a:1,[::1]:2/?tlsCertificateKeyFilePassword=keyfile",
    }
    expected = {"correct horse", "sk-0123456789", "p@ss", "p%40ss", "keyfile"}
    assert Settings.load(environ, {}).secrets == expected
    assert Settings.load({}, {}).secrets == set()
    assert Settings.load({"RT_MONGODB_URI": "mongodb://h/?x=1"}, {}).secrets == set()
