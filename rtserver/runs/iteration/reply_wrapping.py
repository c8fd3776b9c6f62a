"""What models put round a file's content, or in its place: code fences, CDATA, an ellipsis."""

import re

FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)$", re.MULTILINE)
"""A line that begins or ends a code fence: its marks, and the words after them."""

_TEXT_WORDS = ("markdown", "md", "mdx", "text", "txt", "plaintext")
"""The words after a fence that say that it is round a text, not round a piece of code."""

_MAX_PLACEHOLDER_CHARS = 200
_DOTS = re.compile(r"\.{2,}|\u2026")
_MARKS = re.compile(r"[\W_]+")
_BRACKETS = ("[]", "()", "{}", "<>")
_PLACEHOLDER_PATHS = {"relative", "path", "relative path", "file", "filename", "name", ""}


class UnclosedFenceError(Exception):
    """A code fence that was opened round a file's content is not closed in it."""


def closes(marks: str, words: str, opening: str) -> bool:
    """Whether a fence line ends the block that another one began (CommonMark 4.5)."""
    return marks[0] == opening[0] and len(marks) >= len(opening) and not words.strip()


def unwrapped(text: str, path: str) -> str:
    """A file's content without a code fence or a CDATA section round the whole of it.

    A fence that begins a piece of code in the content is left: one that has another language's name
    than the file's, or that is closed before the last line.

    Args:
        text: the content.
        path: its name tells what it is.

    Raises:
        UnclosedFenceError: a fence round a text of the file's kind has no end.
    """
    bare = text.strip()
    if bare.startswith("<![CDATA[") and bare.endswith("]]>"):
        return _content(bare[9:-3])
    lines = list(FENCE.finditer(text))
    if not lines or text[: lines[0].start()].strip():
        return text
    first, last = lines[0], lines[-1]
    language = (first[2].lower().split() or [""])[0]
    own = path.rpartition(".")[2].lower()
    is_named = language in (own, *(_TEXT_WORDS if own in _TEXT_WORDS else ()))
    if language and not is_named:
        return text
    if text[last.end() :].strip() or last is first or not closes(last[1], last[2], first[1]):
        if is_named and not any(closes(line[1], line[2], first[1]) for line in lines[1:]):
            raise UnclosedFenceError
        return text
    if not is_named and not _is_one_block(lines):
        return text
    return _content(text[first.end() : last.start()])


def _content(text: str) -> str:
    return text.removeprefix("\r").removeprefix("\n")


def _is_one_block(lines: list[re.Match[str]]) -> bool:
    """Whether the last fence line closes the first, taking those with words for openings."""
    opened: list[str] = []
    for number, line in enumerate(lines):
        if opened and closes(line[1], line[2], opened[-1]):
            opened.pop()
            if not opened:
                return number == len(lines) - 1
        else:
            opened.append(line[1])
    return False


def is_placeholder(text: str) -> bool:
    """Whether a content only stands for one: nothing, an ellipsis, or words in brackets."""
    bare = text.strip()
    if len(bare) > _MAX_PLACEHOLDER_CHARS or "\n" in bare:
        return False
    if not _MARKS.sub("", bare):
        return True
    dots = list(_DOTS.finditer(bare))
    if dots and not dots[0].start() and dots[-1].end() == len(bare):
        return True  # as in `...the new content...`
    return any(bare[0] == pair[0] and bare[-1] == pair[1] for pair in _BRACKETS)


def is_placeholder_path(path: str) -> bool:
    """Whether a path only stands for one, as in the form that models are told."""
    return path.strip(" <>[]{}()./\u2026").lower() in _PLACEHOLDER_PATHS
