import argparse

import pytest

from rtserver.config.engine import SettingError, add_flags, flags_of
from rtserver.config.settings import SETTING_SPECS, Settings


def _parse(*arguments: str) -> dict[str, str | None]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, SETTING_SPECS)
    return flags_of(parser.parse_args(arguments), SETTING_SPECS)


def _refusal(**environ: str) -> SettingError:
    with pytest.raises(SettingError) as refused:
        Settings.load(environ, {})
    return refused.value


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    environ = {"RT_PING_INTERVAL_S": "20", "RT_PONG_TIMEOUT_S": "5"}
    settings = Settings.load(environ, _parse("--ping-interval-s", "2.5"))
    assert (settings.ping_interval_s, settings.pong_timeout_s) == (2.5, 5.0)


def test_an_empty_value_is_as_good_as_none() -> None:
    settings = Settings.load({"RT_PORT": "", "RT_LLM_MODEL": "  ", "RT_JWT_SECRET": ""}, {})
    assert (settings.port, settings.llm_model, settings.jwt_secret) == (8000, None, None)


def test_an_empty_flag_takes_a_setting_back_to_its_default() -> None:
    assert Settings.load({"RT_PORT": "81"}, _parse("--port", "")).port == 8000


def test_a_secrets_value_is_never_shown() -> None:
    refused = _refusal(RT_MONGODB_URI="postgres://someone:hunter2@db")
    assert "RT_MONGODB_URI (--mongodb-uri)" in str(refused)
    assert "mongodb://" in str(refused)
    assert "hunter2" not in str(refused)
    assert refused.__cause__ is None
    assert refused.__suppress_context__


def test_a_password_in_an_address_that_is_no_secret_is_not_shown_either() -> None:
    assert "hunter2" not in str(_refusal(RT_LLM_BASE_URL="https://someone:hunter2@llm.example"))


def test_lists_are_repeatable_flags() -> None:
    flags = _parse("--jwt-algorithms", "es256", "--jwt-algorithms", "EdDSA,RS256")
    assert Settings.load({}, flags).jwt_algorithms == ("ES256", "EdDSA", "RS256")


def test_an_unknown_variable_is_reported_with_what_was_probably_meant() -> None:
    environ = {"RT_PING_INTERVAL": "5", "RT_XYZZY": "1", "HOME": "/", "RTX": "1", "RT_PORT": "1"}
    unknown = Settings.load(environ, {}).unknown_environment
    assert [(variable.name, variable.suggestion) for variable in unknown] == [
        ("RT_PING_INTERVAL", "RT_PING_INTERVAL_S"),
        ("RT_XYZZY", None),
    ]
    assert str(unknown[0]).endswith("did you mean RT_PING_INTERVAL_S?")
    assert "mean" not in str(unknown[1])


def test_a_flag_that_is_no_setting_is_a_mistake_in_the_calling_code() -> None:
    with pytest.raises(TypeError, match="ping_interval"):
        Settings.load({}, {"ping_interval": "1"})


def test_help_lists_every_variable() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, SETTING_SPECS)
    words = parser.format_help().split()
    assert {f"[{spec.env_name}]" for spec in SETTING_SPECS} <= set(words)
