import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rtserver.config.settings import Settings
from rtserver.observe.log_output import Scrubber, configure_logs, escape_controls, secret_forms

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
ENVIRON = {
    "RT_JWT_SECRET": 'correct "horse" \\ battery',
    "RT_LLM_API_KEY": "sk-0123456789",
    "RT_MONGODB_URI": "mongodb://u:p%40ss%2Fword@a:1,b:2/?tlsCertificateKeyFilePassword=keyfile",
}
SECRETS = (*list(ENVIRON.values())[:2], "p@ss/word", "p%40ss%2Fword", "keyfile")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    logging.captureWarnings(False)
    structlog.reset_defaults()


def _configure(**environ: str) -> io.StringIO:
    stream = io.StringIO()
    settings = Settings.load({**ENVIRON, **environ}, {})
    configure_logs(settings.log_format, settings.log_level, settings.secrets, stream)
    return stream


def _configure_json() -> io.StringIO:
    return _configure(RT_LOG_FORMAT="json")


def _only_line(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    decoded: dict[str, object] = json.loads(line)
    return decoded


def test_a_structlog_line_as_json() -> None:
    stream = _configure_json()
    structlog.get_logger().info("run_started", run_id="r1", lines=3, ok=True, error=None)
    line = _only_line(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "run_started",
        "level": "info",
        "logger": __name__,
        "run_id": "r1",
        "lines": 3,
        "ok": True,
        "error": None,
    }


def test_a_line_of_tornado_goes_the_same_way() -> None:
    stream = _configure_json()
    logging.getLogger("tornado.access").warning("%d GET %s", 404, "/ws?token=abc&x=1")
    line = _only_line(stream)
    assert line["logger"] == "tornado.access"
    assert line["level"] == "warning"
    assert line["event"] == "404 GET /ws?token=[token]&x=1"


def test_a_line_as_text() -> None:
    stream = _configure()
    structlog.get_logger().warning("tail_restarted", attempt=2)
    (line,) = stream.getvalue().splitlines()
    assert "[warning  ] tail_restarted" in line
    assert "attempt=2" in line
    assert "\x1b" not in line


def test_the_level_holds_for_both_kinds_of_logger() -> None:
    stream = _configure(RT_LOG_LEVEL="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("tornado.general").info("quiet")
    assert stream.getvalue() == ""
    structlog.get_logger().warning("loud")
    assert "loud" in stream.getvalue()


def test_libraries_that_tell_of_each_request_are_quiet_even_at_debug() -> None:
    stream = _configure(RT_LOG_LEVEL="debug")
    for name in ("pymongo.command", "aiohttp.client", "asyncio"):
        logging.getLogger(name).info("with all that was sent")
    assert stream.getvalue() == ""
    structlog.get_logger().debug("ours")
    assert "ours" in stream.getvalue()


def test_configuring_again_replaces_what_was_there() -> None:
    first = _configure_json()
    second = _configure_json()
    structlog.get_logger().info("once")
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 2


def test_bound_context_is_in_the_line() -> None:
    stream = _configure_json()
    with structlog.contextvars.bound_contextvars(connection_id="c1"):
        structlog.get_logger().info("opened")
    assert _only_line(stream)["connection_id"] == "c1"


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("secret", [*SECRETS, JWT])
def test_a_secret_is_nowhere_in_a_line(secret: str, log_format: str) -> None:
    stream = _configure(RT_LOG_FORMAT=log_format)
    log = structlog.get_logger()
    in_the_message = f"about {secret}"
    log.info(in_the_message)
    log.info("field", value=secret, nested={"a": [secret, {secret: (secret,)}]}, kept="kept")
    log.info("object", error=ValueError(secret), raw=secret.encode())
    log.info("payload", body=json.dumps({"password": secret}))
    logging.getLogger("tornado.application").error("%s and %r", secret, secret)
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("asyncio").exception("failed too")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(secret, stacklevel=1)
    written = stream.getvalue()
    assert written.count("Traceback") == 2
    assert "kept" in written
    for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert form not in written


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_peer_can_not_forge_a_line(log_format: str) -> None:
    stream = _configure(RT_LOG_FORMAT=log_format)
    forged = "x\n2026-01-01 [info] user is admin\r\x1b[2K\u2028\x85"
    structlog.get_logger().info("refused", reason=forged, **{forged: 1})
    logging.getLogger("tornado.general").info("bad header %s", forged)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b" not in stream.getvalue()


@given(st.dictionaries(st.text(), st.text()))
def test_escaped_fields_are_printable(fields: dict[str, str]) -> None:
    for key, value in escape_controls(None, "info", dict(fields)).items():
        assert key.isprintable()
        assert value.replace("\n", "").isprintable()
        assert "\n" not in value or key in {"exception", "stack"}


def test_a_line_that_can_not_be_made_is_told_of_without_its_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = _configure()
    logging.getLogger("careless").info("%d", "sk-0123456789")
    assert stream.getvalue() == ""
    assert capsys.readouterr().err == ("a log line of careless could not be written: TypeError\n")


def test_a_secret_is_hidden_in_each_form_that_it_takes_in_a_line() -> None:
    assert set(secret_forms(['a "b" \\ c'])) == {
        'a "b" \\ c',  # as it is
        r'a "b" \\ c',  # within a repr
        r"a \"b\" \\ c",  # within JSON
    }


def test_a_text_of_a_few_letters_is_not_taken_for_a_secret() -> None:
    # It would black out half of every line, and guards nothing.
    assert secret_forms(["abc", ""]) == ()


def test_of_two_secrets_the_longer_is_replaced_whole() -> None:
    assert Scrubber(secret_forms(["abcd", "abcdef"])).text("<abcdef>") == "<[secret]>"


def test_deep_and_cyclic_fields_end() -> None:
    stream = _configure_json()
    cyclic: dict[str, object] = {"token": JWT}
    cyclic["self"] = cyclic
    structlog.get_logger().info("odd", value=cyclic)
    assert _only_line(stream)["event"] == "odd"
    assert JWT not in stream.getvalue()
