"""The files in a language model's reply: `<file path="RELATIVE">...</file>`, each given whole."""

import re
from dataclasses import dataclass

from rtserver.runs.files.paths import path_parts

MAX_FILES = 200

_TAG = re.compile(
    r"""<file\s+path\s*=\s*(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)')\s*>|(?P<end></file\s*>)"""
)


class BadReplyError(Exception):
    """The reply's files can't be told apart; the message is for people.

    Attributes:
        reason: the same for programs: `incomplete_reply` or `bad_reply`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReplyFile:
    """A file as the reply wants it.

    Attributes:
        path: relative to the proposal's folder, in its plainest form.
        text: the whole content.
    """

    path: str
    text: str


def parse_reply(reply: str) -> list[ReplyFile]:
    """Take the files out of a complete reply, sorted by path; the words around them are ignored.

    A line break right after the opening tag belongs to the tag. A file that is given twice counts
    as given the second time: models correct themselves.

    Raises:
        BadReplyError: a file has no end, an end has no file, a name is both a file and a folder,
            or there are too many.
        UnsafePathError: see `path_parts`.
    """
    found: dict[tuple[str, ...], str] = {}
    path: str | None = None
    begin = 0
    for tag in _TAG.finditer(reply):
        if tag["end"] is None:
            if path is None:  # else it is part of the file that is open
                path = tag["double"] if tag["double"] is not None else tag["single"]
                begin = tag.end()
            continue
        if path is None:
            raise BadReplyError("bad_reply", "The reply ends a file that it did not begin")
        found[path_parts(path)] = _content(reply[begin : tag.start()])
        path = None
    if path is not None:
        raise BadReplyError("incomplete_reply", "The reply broke off in the middle of a file")
    if len(found) > MAX_FILES:
        raise BadReplyError("bad_reply", f"The reply has more than {MAX_FILES} files")
    for parts in found:
        if any(parts[:depth] in found for depth in range(1, len(parts))):
            raise BadReplyError(
                "bad_reply", "The reply uses a name both for a file and for a folder"
            )
    return [ReplyFile("/".join(parts), text) for parts, text in sorted(found.items())]


def _content(text: str) -> str:
    if text.startswith("\r\n"):
        return text[2:]
    return text.removeprefix("\n")
