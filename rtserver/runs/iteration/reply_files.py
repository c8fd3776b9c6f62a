"""The files in a language model's reply, each given whole between tags at the start of a line.

The model is asked for `<file-NONCE path="RELATIVE">` ... `</file-NONCE>`, with a nonce of the run
that no draft and no quotation has by accident. One that answers in the plain form, `<file ...>`, is
understood as well. Thoughts and quotations are told from files here; which file a path means, and
whether it may be written, is for `rtserver.runs.iteration.changes`.
"""

import html
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import islice

from rtserver.runs.iteration import reply_wrapping
from rtserver.runs.llm import thoughts

MAX_FILES = 200
MAX_TAGS = 20_000  # and fences
PLAIN = "file"

# What stands in backticks or quotation marks is spoken of, not used.
_USED = r"(?<![`'\"])"
_ATTRIBUTE = re.compile(r"""\s([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""")
_TRY_AGAIN = "Nothing was written; start it again"
# Any tag that looks as if a file was meant, wherever it stands.
_LIKE_A_FILE = re.compile(
    r"(?P<open><file(?:-\w+)?(?=[\s>])(?P<attributes>[^<>]*)>)|(?P<close></file(?:-\w+)?\s*>)",
    re.IGNORECASE,
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
    """A file as the reply gives it.

    Attributes:
        path: as it is written in the tag, without its entities.
        text: the whole content.
    """

    path: str
    text: str


def parse_reply(reply: str, nonce: str = "", *, may_be_cut: bool = False) -> list[ReplyFile]:
    """Take the files out of a complete reply, in its order; the words around them are ignored.

    Only a tag at the start of a line begins a file; or one at the end of a line, after words, where
    the closing tag would else close nothing. It ends at the closing tag that has a line of
    its own, or else at the only one at the end or the start of a line; any other is one that the
    text speaks of. Nothing within a thought is a file. What a code fence holds is a quotation
    where other files stand outside of fences. Where the tags have the nonce, only those count.

    The time it takes grows with the length of the reply, and not faster.

    Args:
        reply: all of it.
        nonce: of the run; empty where the model was told of none.
        may_be_cut: nothing says that the reply came to its end: a closing tag within a line, after
            which more text comes, may be one that a file speaks of whose end is missing.

    Raises:
        BadReplyError: a file has no end or no content, an end or a thought has no other half, what
            looks like a file is in no form that can be read, or there are too many.
    """
    text = _clean(reply)
    if not nonce:
        return _Reading(text, PLAIN, may_be_cut=may_be_cut).result()
    marked = _Reading(text, f"{PLAIN}-{nonce}", may_be_cut=may_be_cut)
    if marked.has_tags:
        return marked.result()
    return _Reading(text, PLAIN, may_be_cut=may_be_cut).result() or marked.result()


def is_complete_in_form(reply: str, nonce: str = "") -> bool:
    """Whether a reply has a file at least, and each that it begins is closed.

    For the reply of an endpoint that does not say whether the model came to its end.
    """
    try:
        return bool(parse_reply(reply, nonce, may_be_cut=True))
    except BadReplyError:
        return False


def _clean(reply: str) -> str:
    # Half a surrogate pair can't be written to any file.
    text = reply.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.removeprefix("\ufeff")


@dataclass(frozen=True, slots=True)
class _Given:
    """A file with the place of its opening tag."""

    at: int
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Problem:
    """What keeps a reply from being used, unless it is quoted, with its place."""

    at: int
    reason: str
    what: str
    path: str | None = None

    def error(self) -> BadReplyError:
        of = "" if self.path is None else f" ({_shown(self.path)})"
        return BadReplyError(self.reason, f"The reply {self.what}{of}. {_TRY_AGAIN}")


class _Reading:
    """One reply, read for one name of the tags.

    Attributes:
        has_tags: there is an opening tag outside of thoughts.
    """

    def __init__(self, text: str, name: str, *, may_be_cut: bool) -> None:
        self._text = text
        self._name = name
        self._may_be_cut = may_be_cut
        self.has_tags = False
        self._files: list[_Given] = []
        self._forgotten: list[_Given] = []  # what stands before a thought that only ends
        self._problems: list[_Problem] = []
        self._spans: list[tuple[int, int]] = []  # of files and thoughts: no words, no fences
        tag = re.escape(name)
        pattern = re.compile(
            rf"(?P<open>^<{tag}(?=[\s/>])[^<>]*>)"
            rf"|(?P<end>^[ \t]{{0,3}}</{tag}[ \t]*>[ \t\r]*$)"
            rf"|(?P<loose>^</{tag}\s*>|</{tag}\s*>(?=[ \t\r]*$)"
            rf"|^[ \t]{{0,3}}</{PLAIN}[ \t]*>[ \t\r]*$)"  # with the nonce forgotten at the end
            rf"|{_USED}(?:(?P<thought>{thoughts.BEGINS})|(?P<awake>{thoughts.ENDS}))",
            re.IGNORECASE | re.MULTILINE,
        )
        self._after_words = re.compile(
            rf"(?:(?<=\S)|(?<=\S[ \t])){_USED}<{tag}(?=\s)[^<>]*>(?=[ \t\r]*\n)", re.IGNORECASE
        )
        self._tags = list(islice(pattern.finditer(text), MAX_TAGS + 1))
        if len(self._tags) > MAX_TAGS:
            raise _too_many("tags")
        self._read()

    def result(self) -> list[ReplyFile]:
        """The files.

        Raises:
            BadReplyError: see `parse_reply`.
        """
        fences = _fences(self._text, self._spans)
        files = _real([file for file in self._files if not _is_in(file.at, fences)])
        fenced = _without_placeholders([file for file in self._files if _is_in(file.at, fences)])
        if self._name == PLAIN and files:
            fenced = []  # quotations
        for problem in self._problems:
            if fenced or not files or not _is_in(problem.at, fences):
                raise problem.error()
        files += fenced
        if not files:
            self._check_that_none_was_meant()
        if len(files) > MAX_FILES:
            raise _too_many("files")
        return [ReplyFile(file.path, file.text) for file in files]

    def _read(self) -> None:
        tags = self._tags
        ends_of_thoughts = [n for n, tag in enumerate(tags) if tag.lastgroup == "awake"]
        at = 0
        while at < len(tags):
            tag = tags[at]
            if tag.lastgroup == "open":
                self.has_tags = True
                at = self._read_file(at)
                continue
            if tag.lastgroup == "end":
                self._read_file_begun_after_words(at)
            elif tag.lastgroup == "awake":
                self._forget_what_was_a_thought(tag)
            elif tag.lastgroup == "thought":
                following = bisect_right(ends_of_thoughts, at)
                if following < len(ends_of_thoughts):
                    at = ends_of_thoughts[following]
                    self._spans.append((tag.start(), tags[at].end()))
                elif self._begins_a_line(tag):
                    self._problem(tag, "incomplete_reply", "has a thought that does not end")
            at += 1

    def _read_file(self, at: int) -> int:
        """Read the file of an opening tag; the number of the first tag after it."""
        tag = self._tags[at]
        end = self._end_of_file(at)
        path = None if end is None else self._path(tag)
        if end is None or path is None:
            return at + 1
        self._give(tag, self._tags[end], path)
        return end + 1

    def _read_file_begun_after_words(self, at: int) -> None:
        """Read the file of a closing tag without an opening one at the start of a line.

        Words such as "Here it is:" may stand before the tag that begins it.
        """
        closing = self._tags[at]
        words_from = self._tags[at - 1].end() if at else 0
        begun = list(self._after_words.finditer(self._text, words_from, closing.start()))
        path = self._path(begun[0]) if len(begun) == 1 else None
        if path is None:
            self._problem(closing, "bad_reply", "ends a file that it did not begin")
            return
        self.has_tags = True
        self._give(begun[0], closing, path)

    def _give(self, tag: re.Match[str], closing: re.Match[str], path: str) -> None:
        text = _content(self._text[tag.end() : closing.start()])
        if _glued(self._name).search(text):
            self._problem(tag, "bad_reply", "begins a file in the line in which one ends", path)
        try:
            text = reply_wrapping.unwrapped(text, path)
        except reply_wrapping.UnclosedFenceError:
            self._problem(tag, "bad_reply", "opens a code fence and does not close it", path)
        self._files.append(_Given(tag.start(), path, text))
        self._spans.append((tag.start(), closing.end()))

    def _end_of_file(self, at: int) -> int | None:
        """The number of the closing tag of a file; None where that can't be said."""
        loose: list[int] = []
        number = at + 1
        while number < len(self._tags) and self._tags[number].lastgroup != "open":
            group = self._tags[number].lastgroup
            if group == "end":
                return number
            if group == "loose":
                loose.append(number)
            number += 1
        tag = self._tags[at]
        paths = _paths(tag[0])
        path = next(iter(paths), None)
        is_last = number == len(self._tags)
        if len(loose) == 1:
            closed = self._tags[loose[0]].end()
            following = len(self._text) if is_last else self._tags[number].start()
            if not self._may_be_cut or not self._text[closed:following].strip():
                return loose[0]
        if len(loose) > 1:
            self._problem(tag, "bad_reply", "closes a file more than once", path)
        elif "=" in tag[0] and not (paths and all(map(reply_wrapping.is_placeholder_path, paths))):
            if not is_last:
                what = "begins the next file before it has ended one"
            else:
                what = "broke off in the middle of a file"
            self._problem(tag, "incomplete_reply", what, path)
        return None

    def _path(self, tag: re.Match[str]) -> str | None:
        paths = _paths(tag[0])
        if len(paths) == 1:
            return paths.pop()
        self._problem(tag, "bad_reply", "has a file whose tag does not say one path")
        return None

    def _forget_what_was_a_thought(self, tag: re.Match[str]) -> None:
        """A thought ends that did not begin: it began with the reply.

        Chat templates of some models put the opening tag into the prompt.
        """
        if not self._begins_a_line(tag) and not self._ends_a_line(tag):
            return
        self._forgotten += self._files
        self._files.clear()
        self._problems.clear()
        self._spans = [(0, tag.end())]
        self.has_tags = False

    def _begins_a_line(self, tag: re.Match[str]) -> bool:
        return tag.start() == 0 or self._text[tag.start() - 1] == "\n"

    def _ends_a_line(self, tag: re.Match[str]) -> bool:
        return self._text[tag.end() : tag.end() + 1] in ("", "\n", "\r")

    def _problem(self, tag: re.Match[str], reason: str, what: str, path: str | None = None) -> None:
        self._problems.append(_Problem(tag.start(), reason, what, path))

    def _check_that_none_was_meant(self) -> None:
        """Refuse a reply without files that has what a careless form of one looks like.

        It would pass for one that changes nothing, and what the model wrote would be lost unseen.
        """
        if _without_placeholders(self._forgotten):
            raise BadReplyError(
                "bad_reply",
                "All files of the reply stand before the end of a thought, so that they may be "
                f"part of it. {_TRY_AGAIN}",
            )
        words = _without(self._text, self._spans)
        opened: re.Match[str] | None = None
        for tag in _LIKE_A_FILE.finditer(words):
            if tag["open"]:
                opened = tag
                continue
            if opened is not None and not reply_wrapping.is_placeholder(
                words[opened.end() : tag.start()]
            ):
                raise BadReplyError(
                    "bad_reply",
                    "The reply gives a file in a form that can't be read: each of the two tags has "
                    f"to begin a line of its own, and to say the path. {_TRY_AGAIN}",
                )
            opened = None
        if opened is not None and any(
            not reply_wrapping.is_placeholder_path(path) for path in _paths(opened[0])
        ):
            raise BadReplyError(
                "incomplete_reply", f"The reply names a file and does not give it. {_TRY_AGAIN}"
            )


def _too_many(what: str) -> BadReplyError:
    return BadReplyError("bad_reply", f"The reply has too many {what} to be read. {_TRY_AGAIN}")


def _shown(path: str) -> str:
    return ascii(path)[1:-1][:120]


def _paths(tag: str) -> set[str]:
    return {
        html.unescape(double or single or bare.removesuffix("/"))
        for name, double, single, bare in _ATTRIBUTE.findall(tag)
        if name.lower() == "path"
    }


def _glued(name: str) -> re.Pattern[str]:
    tag = re.escape(name)
    return re.compile(rf"</{tag}\s*>\s*<{tag}(?=\s)", re.IGNORECASE)


def _content(text: str) -> str:
    """A line break right after the opening tag belongs to the tag."""
    first, line_end, rest = text.partition("\n")
    return rest if line_end and not first.strip() else text


def _real(files: list[_Given]) -> list[_Given]:
    """The files without those that quote the form.

    Raises:
        BadReplyError: one has no content, and nothing says that it is a quotation.
    """
    real = _without_placeholders(files)
    given = {file.path for file in real}
    for file in files:
        if not reply_wrapping.is_placeholder(file.text) or file.path in given:
            continue
        if not real or not reply_wrapping.is_placeholder_path(file.path):
            raise BadReplyError(
                "bad_reply",
                f"The reply names {_shown(file.path)} without its content, which it "
                f"has to give whole. {_TRY_AGAIN}",
            )
    return real


def _without_placeholders(files: list[_Given]) -> list[_Given]:
    return [file for file in files if not reply_wrapping.is_placeholder(file.text)]


def _fences(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where code fences begin and end among the words, in order. What is not closed is no fence."""
    regions: list[tuple[int, int]] = []
    opened: re.Match[str] | None = None
    span = 0
    for number, fence in enumerate(reply_wrapping.FENCE.finditer(text)):
        if number == MAX_TAGS:
            raise _too_many("code fences")
        while span < len(spans) and spans[span][1] <= fence.start():
            span += 1
        if span < len(spans) and spans[span][0] <= fence.start():
            continue
        if opened is None:
            opened = fence
        elif reply_wrapping.closes(fence[1], fence[2], opened[1]):
            regions.append((opened.start(), fence.end()))
            opened = None
    return regions


def _is_in(at: int, regions: list[tuple[int, int]]) -> bool:
    number = bisect_right(regions, (at, 0)) - 1
    return number >= 0 and at < regions[number][1]


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    ends = [0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), len(text)]
    return "\n".join(text[end:begin] for end, begin in zip(ends, begins, strict=True))
