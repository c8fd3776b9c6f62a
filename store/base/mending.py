"""Mending: what is wrong where MongoDB can't be used, and what an operator does about it.

`check` and the start of a worker say the same, and both say it from here. The texts are for who
runs the server: they name hosts and users. What the driver knows of a connection that failed is in
the text of its error alone (PyMongo 4.20), so that is looked at; what none of these fits is shown
as the driver says it.
"""

import re

from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from store.base.rights import UNAUTHORIZED, Lack

ADDRESS = "RT_MONGODB_URI"
DOCUMENT = 'docs/operations.md, "MongoDB\'s user"'
REFUSED_USER = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, and Atlas's own."""
MAX_TEXT_CHARS = 300

_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed: ([^(]+)")
_OTHER_NAME = re.compile(r"(?:Hostname|IP address) mismatch[^(]*")
_OTHER_SET = re.compile(r'replica set name "([^"]*)"')
_NO_HOST = re.compile(r"Name or service not known|name resolution|No address associated")
_DRIVERS_TIMES = re.compile(r" \(configured timeouts:[^)]*\)|, Timeout: .*", re.DOTALL)
_QUOTED = re.compile(r"""(["']).*\1""")
_BY_TEXT = (
    (
        "Connection refused",
        "MongoDB does not answer ({text}): nobody listens there. Start it, or mend " + ADDRESS,
    ),
    (
        "connection closed",
        "MongoDB does not answer ({text}): the connection is ended by the other side. Where it "
        "asks for TLS, add tls=true to " + ADDRESS,
    ),
    (
        "[SSL",
        "TLS with MongoDB fails ({text}): is it spoken there, and are tls=, tlsCAFile= and "
        "tlsCertificateKeyFile= in " + ADDRESS + " right?",
    ),
)


def what_to_mend(error: Exception) -> str:
    """What is wrong, and how to mend it, in one line."""
    if isinstance(error, OperationFailure):
        if error.code in REFUSED_USER:
            return (
                f"MongoDB refuses the user or the password in {ADDRESS}: mend them; where the user "
                "was made in another database than the one named there, add authSource="
            )
        if error.code == UNAUTHORIZED:
            return (
                f"MongoDB does not allow what is needed ({_text(error)}): give its user the role "
                f"in {DOCUMENT}"
            )
    text = _text(error)
    if isinstance(error, ConnectionFailure):
        return persistent_problem(error) or _connection_problem(error, text)
    return f"MongoDB does not do what is asked ({type(error).__name__}: {text})"


def persistent_problem(error: Exception) -> str | None:
    """What is wrong with a connection that waiting does not mend; None for any other error."""
    if not isinstance(error, ConnectionFailure):
        return None
    text = str(error)
    if other := _OTHER_NAME.search(text):
        return (
            f"MongoDB's certificate is another host's ({other[0].strip(' .,')}): name the host in "
            f"{ADDRESS} as its certificate does"
        )
    if untrusted := _CERTIFICATE.search(text):
        return (
            f"MongoDB's certificate is not trusted ({untrusted[1].strip()}): name the file of the "
            f"authority that signed it, tlsCAFile= in {ADDRESS}"
        )
    if (other_set := _OTHER_SET.search(text)) and "available" in text:
        return (
            f"MongoDB's replica set has another name than {other_set[1]!r}: mend replicaSet= in "
            f"{ADDRESS}"
        )
    return None


def _connection_problem(error: Exception, text: str) -> str:
    for part, words in _BY_TEXT:
        if part in text:
            return words.format(text=text)
    if _NO_HOST.search(text):
        return f"MongoDB does not answer ({text}): there is no such host. Mend {ADDRESS}"
    if isinstance(error, ServerSelectionTimeoutError):
        return (
            f"MongoDB does not answer, or has no primary ({text}): are most of its members up, "
            f"and is {ADDRESS} right?"
        )
    return f"MongoDB does not answer ({type(error).__name__}: {text}): is {ADDRESS} right?"


def _text(error: Exception) -> str:
    """What the driver says, less what is of no use to people."""
    text = _DRIVERS_TIMES.sub("", str(error).partition(", full error:")[0])
    text = text.partition(" to execute command")[0]
    return " ".join(text.split())[:MAX_TEXT_CHARS]


def lack_problem(lack: Lack, database: str) -> str:
    """Say what the user may not do that a worker does."""
    if lack.user is None:
        return (
            f"MongoDB asks for a user, and {ADDRESS} names none: add USER:PASSWORD@ before the "
            f"host. {DOCUMENT}, says how to make one"
        )
    names = ", ".join(right.action for right in lack.rights)
    return (
        f"MongoDB's user {lack.user!r} may not do all that is needed on the database {database!r}. "
        f"It lacks {names}: give it the role in {DOCUMENT}"
    )


def unusable_address(error: Exception) -> str:
    """Say what is wrong with an address that the driver does not even take."""
    if isinstance(error, OSError):
        return (
            f"a file that {ADDRESS} names can't be read ({error.strerror}: {error.filename}): "
            "see tlsCAFile= and tlsCertificateKeyFile= there"
        )
    # What the driver quotes may be a part of a password that was not escaped.
    return f"{ADDRESS} can't be used: {_QUOTED.sub('...', _text(error))}"
