"""What an operator is told where MongoDB can't be used. The errors' texts are the driver's own."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from store.base.mending import lack_problem, persistent_problem, unusable_address, what_to_mend
from store.base.rights import RIGHTS, Lack

TIMES = (
    " (configured timeouts: socketTimeoutMS: 20000.0ms, connectTimeoutMS: 5000.0ms), "
    "Timeout: 0.3s, Topology Description: <TopologyDescription id: 6b0e, topology_type: Unknown>"
)
VERIFY = "m:27017: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
BY_WAITING = [
    ("m:27017: [Errno 111] Connection refused", "(m:27017: [Errno 111] Connection refused): nobod"),
    ("m:27017: connection closed", "add tls=true"),
    ("m:27017: [Errno -2] Name or service not known", "there is no such host"),
    ("m:27017: [Errno -3] Temporary failure in name resolution", "there is no such host"),
    ("m:27017: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "TLS with MongoDB"),
    ('No replica set members match selector "Primary()"', "has no primary"),
]
BY_MENDING = [
    (f"{VERIFY}self-signed certificate (_ssl.c:1006)", "trusted (self-signed certificate): name"),
    (
        f"{VERIFY}Hostname mismatch, certificate is not valid for 'm'. (_ssl.c:1006)",
        "(Hostname mismatch, certificate is not valid for 'm')",
    ),
    (
        f"{VERIFY}IP address mismatch, certificate is not valid for '127.0.0.2'. (_ssl.c:1006)",
        "another host's (IP address mismatch",
    ),
    ('No replica set members available for replica set name "rs7"', "another name than 'rs7'"),
]


@pytest.mark.parametrize(("text", "words"), BY_WAITING + BY_MENDING)
def test_a_connection_that_failed_is_explained(text: str, words: str) -> None:
    said = what_to_mend(ServerSelectionTimeoutError(text + TIMES))
    assert words in said
    assert "RT_MONGODB_URI" in said
    assert "Topology" not in said


def test_only_what_waiting_does_not_mend_is_persistent() -> None:
    for text, _ in BY_WAITING:
        assert persistent_problem(ServerSelectionTimeoutError(text + TIMES)) is None
    for text, _ in BY_MENDING:
        assert persistent_problem(ServerSelectionTimeoutError(text + TIMES)) is not None
    assert persistent_problem(OperationFailure("Authentication failed.", 18)) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationFailure("Authentication failed., full error: {}", 18), "user or the password"),
        (
            OperationFailure("not authorized on a to execute command { insert: 'x' }", 13),
            "(not authorized on a): give its user the role",
        ),
        (OperationFailure("no such thing", 59), "no such thing"),
        (NetworkTimeout("m:27017: timed out"), "NetworkTimeout: m:27017: timed out"),
        (AutoReconnect("m:27017: [Errno 111] Connection refused"), "nobody listens"),
        (ConfigurationError("bad"), "ConfigurationError: bad"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_other_errors_are_explained(error: Exception, words: str) -> None:
    assert words in what_to_mend(error)


def test_an_address_that_is_none_is_told_without_what_may_be_a_password() -> None:
    assert "secret" not in unusable_address(InvalidURI('Bad database name "secret@host"'))
    missing = FileNotFoundError(2, "No such file or directory", "/ca.pem")
    assert "(No such file or directory: /ca.pem)" in unusable_address(missing)


def test_each_right_that_is_missing_is_named() -> None:
    said = lack_problem(Lack("ada", RIGHTS[1:3]), "app")
    assert said.startswith("MongoDB's user 'ada' may not do all that is needed on the database 'ap")
    assert "It lacks insert, update: give" in said
    assert "names none" in lack_problem(Lack(None, RIGHTS), "app")
