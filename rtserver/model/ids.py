"""Identifiers that come from outside, checked before anything is done with them.

A project id and a proposal id become folder names, words of a command line and keys in
the store, so what they may contain is decided here, once, by allowing known-safe characters
rather than by looking for dangerous ones.
"""

import re

from rtserver.model.errors import AnsweredError

MAX_ID_LENGTH = 128
MAX_EVENT_TYPE_LENGTH = 100
MAX_ECHO_LENGTH = 64

# As JSON Schema reads them too: in full, `^(?:...)$`.
PROJECT_ID_PATTERN = "[A-Za-z0-9_~][A-Za-z0-9._~-]*"
PROPOSAL_ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]*"
RECORD_ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]*"
EVENT_TYPE_PATTERN = r"[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+"

_PROJECT_ID = re.compile(PROJECT_ID_PATTERN)  # RFC 3986 section 2.3: travels in a URL as it is
_CHANGE_NAME = re.compile(PROPOSAL_ID_PATTERN)
_RECORD_ID = re.compile(RECORD_ID_PATTERN)
_EVENT_TYPE = re.compile(EVENT_TYPE_PATTERN)
# `openspec/changes/archive` is where OpenSpec keeps the changes that are done.
_RESERVED_CHANGES = frozenset({"archive"})


class BadIdentifier(AnsweredError, ValueError):  # noqa: N818 - says what it is; callers catch it by this name
    """An identifier that is not acceptable; the message says what was wrong with it.

    The message may be shown to the client that sent the identifier. It repeats at most
    `MAX_ECHO_LENGTH` characters of it, with everything but printable ASCII escaped.
    """

    reason = "bad_identifier"


def project_id(text: str) -> str:
    """Check the id of a project, which is also the name of its workspace's folder.

    Args:
        text: 1 to 128 letters, digits and `. _ ~ -`, the first of them neither `.` nor `-`.

    Returns:
        The same text.

    Raises:
        BadIdentifier: It is anything else.
    """
    _check_length("project id", text, MAX_ID_LENGTH)
    if text[0] in ".-":
        raise BadIdentifier(f"project id {_echo(text)} may not begin with {text[0]!r}")
    if not _PROJECT_ID.fullmatch(text):
        raise BadIdentifier(
            f"project id {_echo(text)} may only contain letters, digits and the characters . _ ~ -"
        )
    return text


def proposal_id(text: str) -> str:
    """Check the id of a proposal: the name of an OpenSpec change, which is a folder's name.

    Args:
        text: 1 to 128 letters, digits and `. _ -`, beginning with a letter or a digit, so that
            it is neither a path out of the workspace nor an option of a command line.
            `archive` is OpenSpec's own.

    Returns:
        The same text.

    Raises:
        BadIdentifier: It is anything else.
    """
    _check_length("proposal id", text, MAX_ID_LENGTH)
    if not _CHANGE_NAME.fullmatch(text):
        raise BadIdentifier(
            f"proposal id {_echo(text)} must begin with a letter or a digit and may only contain "
            "letters, digits and the characters . _ -"
        )
    if text.lower() in _RESERVED_CHANGES:
        raise BadIdentifier(f"proposal id {_echo(text)} is reserved by OpenSpec")
    return text


def run_id(text: str) -> str:
    """Check the id of a run, as this server gives them: 1 to 128 letters, digits, `_` and `-`.

    Raises:
        BadIdentifier: It is anything else.
    """
    return _record_id("run id", text)


def comment_id(text: str) -> str:
    """Check the id of a comment; the same form as `run_id`.

    Raises:
        BadIdentifier: It is anything else.
    """
    return _record_id("comment id", text)


def connection_id(text: str) -> str:
    """Check the id of a connection; the same form as `run_id`.

    Raises:
        BadIdentifier: It is anything else.
    """
    return _record_id("connection id", text)


def event_type(text: str) -> str:
    """Check the type that a service gives to an event that only it knows, such as `build.finished`.

    Args:
        text: Two or more lower-case words joined by dots, at most 100 characters. A word begins
            with a letter and goes on with letters, digits, `_` and `-`. The types of this server
            have no dot, so neither can be taken for the other.

    Returns:
        The same text.

    Raises:
        BadIdentifier: It is anything else.
    """
    _check_length("event type", text, MAX_EVENT_TYPE_LENGTH)
    if "." not in text:
        raise BadIdentifier(
            f"event type {_echo(text)} has no dot; a service's own type is like build.finished"
        )
    if not _EVENT_TYPE.fullmatch(text):
        raise BadIdentifier(
            f"event type {_echo(text)} must be lower-case words joined by dots, like build.finished"
        )
    return text


def _record_id(what: str, text: str) -> str:
    _check_length(what, text, MAX_ID_LENGTH)
    if not _RECORD_ID.fullmatch(text):
        raise BadIdentifier(
            f"{what} {_echo(text)} must begin with a letter or a digit and may only contain "
            "letters, digits, _ and -"
        )
    return text


def _check_length(what: str, text: str, limit: int) -> None:
    if not text:
        raise BadIdentifier(f"{what} is empty")
    if len(text) > limit:
        raise BadIdentifier(
            f"{what} {_echo(text)} is {len(text)} characters long; at most {limit} are allowed"
        )


def _echo(text: str) -> str:
    """The text for a message: quoted, escaped, and cut to `MAX_ECHO_LENGTH` characters."""
    if len(text) <= MAX_ECHO_LENGTH:
        return ascii(text)
    return f"{text[:MAX_ECHO_LENGTH]!a}..."
