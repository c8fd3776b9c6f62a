"""The files in a reply."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.iteration.reply_files import BadReplyError, ReplyFile, parse_reply

WORDS = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]))
NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.md)?", fullmatch=True)


def test_files_among_words() -> None:
    reply = (
        "I changed two files.\n\n"
        '<file path="specs/fees/spec.md">\n# Fees\n\nText\n</file>\n'
        "And a task:\n<file path='tasks.md'>- [ ] 1.1 Do it</file>\nDone."
    )
    assert parse_reply(reply) == [
        ReplyFile("specs/fees/spec.md", "# Fees\n\nText\n"),
        ReplyFile("tasks.md", "- [ ] 1.1 Do it"),
    ]


def test_reply_without_files() -> None:
    assert parse_reply("Nothing needs to change: a <file> is a file.") == []


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ('<file path="a.md">', "a.md"),
        ("<file path='it\"s.md'>", 'it"s.md'),
        ('<file  path = "./a.md" >', "a.md"),
        ('<file\npath="a.md">', "a.md"),
    ],
)
def test_forms_of_the_tag(tag: str, path: str) -> None:
    assert parse_reply(f"{tag}x</file>") == [ReplyFile(path, "x")]


@pytest.mark.parametrize(
    ("between", "text"),
    [
        ("", ""),
        ("\n", ""),
        ("\n\n", "\n"),
        ("\r\nx\r\n", "x\r\n"),
        ("x", "x"),
        ("\n  x", "  x"),
        ('\n<file path="b.md">\n', '<file path="b.md">\n'),
        ("\n```\ncode\n```\n", "```\ncode\n```\n"),
    ],
)
def test_content_is_taken_as_it_is(between: str, text: str) -> None:
    assert parse_reply(f'<file path="a.md">{between}</file>') == [ReplyFile("a.md", text)]


def test_second_version_of_a_file_counts() -> None:
    reply = '<file path="a.md">1</file> no, better: <file path="./a.md">2</file>'
    assert parse_reply(reply) == [ReplyFile("a.md", "2")]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('<file path="a.md">\nhalf of', "incomplete_reply"),
        ('<file path="a.md">x</file><file path="b.md">', "incomplete_reply"),
        ('<file path="a.md">x</fil', "incomplete_reply"),
        ("<file>x</file>", "bad_reply"),
        ('<file name="a.md">x</file>', "bad_reply"),
        ('<file path="a">x</file><file path="a/b.md">y</file>', "bad_reply"),
        ("".join(f'<file path="{n}.md"></file>' for n in range(201)), "bad_reply"),
    ],
)
def test_replies_that_can_not_be_used(reply: str, reason: str) -> None:
    with pytest.raises(BadReplyError) as caught:
        parse_reply(reply)
    assert caught.value.reason == reason


@pytest.mark.parametrize("path", ["../a.md", "/etc/passwd", "", "a/../../b"])
def test_paths_that_lead_out(path: str) -> None:
    with pytest.raises(UnsafePathError):
        parse_reply(f'<file path="{path}">x</file>')


@given(st.dictionaries(NAMES, WORDS, max_size=5), WORDS)
def test_what_is_put_in_comes_out(files: dict[str, str], words: str) -> None:
    files = {name: text for name, text in files.items() if "/" in name or f"{name}/" not in files}
    tops = {name.partition("/")[0] for name in files if "/" in name}
    files = {name: text for name, text in files.items() if name not in tops}
    reply = words.join(f'<file path="{name}">\n{text}</file>' for name, text in files.items())
    assert {file.path: file.text for file in parse_reply(reply)} == files


@given(st.text(st.sampled_from(list('<file path="a.md">\n/')), max_size=80))
def test_any_text_is_read_or_refused(reply: str) -> None:
    with contextlib.suppress(BadReplyError, UnsafePathError):
        assert all(file.path for file in parse_reply(reply))
