"""The files in a reply."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.iteration.reply_files import (
    BadReplyError,
    ReplyFile,
    is_complete_in_form,
    parse_reply,
)
from tests.support.cost import check_growth

NONCE = "a1b2c3"
NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.md)?", fullmatch=True)
# Whole lines: prose, a list, a quotation, a tag that is not at the start of its line.
PROSE_LINES = st.one_of(
    st.text(st.characters(exclude_characters="<`~[\u25c1\n", exclude_categories=["Cs"])),
    st.sampled_from(
        [
            'It is given as <file path="proposal.md">...</file>, as asked.',
            "I closed it with </file> as asked.",
            '> <file path="proposal.md">',
            '- `<file path="proposal.md">` begins one',
            "We strip `<think>` and `</think>`.",
            "a < b, and a <file> is a file",
        ]
    ),
)
PROSE = st.lists(PROSE_LINES, max_size=4).map(lambda lines: "".join(f"{line}\n" for line in lines))
CONTENT_LINES = st.text(st.characters(exclude_characters="<`~", exclude_categories=["Cs"]))
CONTENTS = st.lists(CONTENT_LINES, max_size=4).map(
    lambda lines: "".join(f"{line}\n" for line in ["# A heading", *lines])
)


def only(reply: str, nonce: str = "") -> dict[str, str]:
    files = parse_reply(reply, nonce)
    assert len({file.path for file in files}) == len(files)
    return {file.path: file.text for file in files}


def refused(reply: str, nonce: str = "") -> str:
    with pytest.raises(BadReplyError) as caught:
        parse_reply(reply, nonce)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not is_complete_in_form(reply, nonce)
    return caught.value.reason


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


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Nothing needs to change: a <file> is a file.",
        'I would answer in the form <file path="proposal.md">...</file>, but it is fine.',
        "It is fine.\n```\n<file path='proposal.md'>\n...\n</file>\n```\n",
        "It is fine. I removed the <think> tag.",
        "<file> is the name of a tag.\nNothing needs to change.",
        '<think>\n<file path="a.md">\nx\n</file>\n</think>\nIt is fine.',
    ],
)
def test_reply_without_files(reply: str) -> None:
    assert parse_reply(reply, NONCE) == []
    assert not is_complete_in_form(reply, NONCE)


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ('<file path="a.md">', "a.md"),
        ("<file path='it\"s.md'>", 'it"s.md'),
        ('<file  path = "./a.md" >', "./a.md"),
        ('<file\npath="a.md">', "a.md"),
        ("<file path=a.md>", "a.md"),
        ('<FILE lang="markdown" Path="a.md" final>', "a.md"),
        ('<file path="it&quot;s &amp; &#97;.md">', 'it"s & a.md'),
        ('<file path="">', ""),
    ],
)
def test_forms_of_the_tag(tag: str, path: str) -> None:
    assert parse_reply(f"{tag}x</file>") == [ReplyFile(path, "x")]
    assert parse_reply(f"\ufeff{tag}\r\nx\r\n</file>\r\n") == [ReplyFile(path, "x\r\n")]
    marked = tag.replace("file", f"file-{NONCE}", 1).replace("FILE", f"FILE-{NONCE}")
    assert parse_reply(f"{marked}\nx\n</file-{NONCE}>", NONCE) == [ReplyFile(path, "x\n")]


@pytest.mark.parametrize(
    ("between", "text"),
    [
        ("x", "x"),
        ("\nx\n", "x\n"),
        ("  \n\nx\n\n", "\nx\n\n"),
        ("\r\nx\r\n", "x\r\n"),
        ("\n  x", "  x"),
        ("\nThe tag </file> ends a file.\n", "The tag </file> ends a file.\n"),
        ("\nIt ends with </file>\n", "It ends with </file>\n"),
        ("\n</file> ends it.\n", "</file> ends it.\n"),
        ('\nas in <file path="b.md">\n', 'as in <file path="b.md">\n'),
        ("\nAs in\n<file-other path='b.md'>\n", "As in\n<file-other path='b.md'>\n"),
        ("\nAs in\n<think>\n", "As in\n<think>\n"),
        ("\nText\n```\ncode\n```\n", "Text\n```\ncode\n```\n"),
        ("\n```\ncode\n```\ntext\n```\ncode\n```\n", "```\ncode\n```\ntext\n```\ncode\n```\n"),
        ("\n```mermaid\ngraph\n```\n", "```mermaid\ngraph\n```\n"),
        ("\nA \ud83d\n", "A \ufffd\n"),
    ],
)
def test_content_is_taken_as_it_is(between: str, text: str) -> None:
    assert parse_reply(f'<file path="a.md">{between}\n</file>\n')[0].text in (text, text + "\n")
    marked = f'<file-{NONCE} path="a.md">{between}\n</file-{NONCE}>'
    assert parse_reply(marked, NONCE)[0].text in (text, text + "\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("```markdown\n", "```\n"),
        ("```\n", "```\n"),
        ("~~~md\n", "~~~\n"),
        ("````markdown\n", "````\n"),
        ("\n```md\n", "```\n\n"),
        ('```markdown title="a.md"\n', "```\n"),
        ("```markdown\r\n", "```\r\n"),
        ("<![CDATA[\n", "]]>\n"),
    ],
)
def test_what_is_round_the_whole_content_is_no_part_of_it(before: str, after: str) -> None:
    for text in ("# A\n", "# A\n\n```js\ncode\n```\n", "# A\n```\ncode\n```\nmore\n"):
        if before == "```\n" and "```\ncode" in text:
            continue  # nobody can tell where such a fence ends
        reply = f'<file path="a.md">\n{before}{text}{after}</file>\n'
        assert only(reply) == {"a.md": text}


@pytest.mark.parametrize("mark", ["", f"-{NONCE}"])
@pytest.mark.parametrize(("before", "after"), [("```xml\n", "```\n"), ("~~~~\n", "~~~~~\n")])
def test_a_fence_round_whole_files(before: str, after: str, mark: str) -> None:
    one = f'<file{mark} path="a.md">\n```markdown\n# A\n```\n</file{mark}>\n'
    other = f'<file{mark} path="b.md">\n# B\n</file{mark}>\n'
    for reply in (f"{before}{one}{other}{after}", f"{before}{one}{after}\n{before}{other}{after}"):
        assert only(reply, NONCE) == {"a.md": "# A\n", "b.md": "# B\n"}


THOUGHTS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<seed:think>", "</seed:think>"),
    ("<chain-of-thought>", "</chain-of-thought>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|think|>", "<|/think|>"),
    ("", "</think>"),
]


@pytest.mark.parametrize(("begin", "end"), THOUGHTS)
@pytest.mark.parametrize("mark", ["", f"-{NONCE}"])
def test_nothing_in_a_thought_is_a_file(begin: str, end: str, mark: str) -> None:
    quoted = (
        f'The form is <file{mark} path="proposal.md">...</file{mark}>. As in\n'
        f'<file{mark} path="proposal.md">\n...\n</file{mark}>\nor in\n'
        f'<file{mark} path="proposal.md">\n# Old\n</file{mark}>\n```\n'
    )
    given_file = f'<file{mark} path="design.md">\n# A\n</file{mark}>\n'
    expected = {"design.md": "# A\n"}
    assert only(f"{begin}\n{quoted}{end}\n\n{given_file}", NONCE) == expected
    assert only(f"{begin}{quoted}{end}\n{given_file}", NONCE) == expected
    if begin:
        assert only(f"Sure. {begin}\n{quoted}{end}\n{given_file}", NONCE) == expected
        assert only(f"{given_file}{begin}\n{quoted}{end}\n", NONCE) == expected
        assert refused(f"{begin}\n{quoted}\n{given_file}", NONCE) == "incomplete_reply"
    else:
        # Whether what comes before is a thought or the answer can't be said.
        assert refused(f"{given_file}{end}\nThat is all.", NONCE) == "bad_reply"


def test_a_mention_of_thoughts_is_none() -> None:
    for words in ("We strip `<think>`.\n", "A <think> tag is removed.\n", "No `</think>`\n"):
        reply = f'{words}<file path="a.md">\n# A\n</file>\n{words}'
        assert only(reply) == {"a.md": "# A\n"}


@pytest.mark.parametrize("mark", ["", f"-{NONCE}"])
def test_quotations_are_no_files(mark: str) -> None:
    given_file = f'<file{mark} path="design.md">\n# A\n</file{mark}>\n'
    for quoted in (
        f'```\n<file{mark} path="proposal.md">\n...\n</file{mark}>\n```\n',
        f'```xml\n<file{mark} path="proposal.md">...</file{mark}>\n```\n',
        f'> <file{mark} path="proposal.md">\n> # Old\n> </file{mark}>\n',
        f'    <file{mark} path="proposal.md">\n    # Old\n    </file{mark}>\n',
        f'One writes <file{mark} path="proposal.md"># Old</file{mark}> then.\n',
        f'<file{mark} path="RELATIVE">\n...the complete new content...\n</file{mark}>\n',
        f'<file{mark} path="design.md">\n...\n</file{mark}>\n',
        f"```\n</file{mark}>\n```\n",
    ):
        assert only(quoted + given_file, NONCE) == {"design.md": "# A\n"}
        assert only(given_file + quoted, NONCE) == {"design.md": "# A\n"}
    plain = '```\n<file path="proposal.md">\n# Old\n</file>\n```\n'
    assert only(plain + given_file, NONCE) == {"design.md": "# A\n"}


def test_where_the_tags_have_the_nonce_only_those_count() -> None:
    plain = '<file path="proposal.md">\n# Old\n</file>\n'
    marked = f'<file-{NONCE} path="a.md">\nIn tags:\n{plain}</file-{NONCE}>\n'
    assert only(f"{plain}{marked}{plain}", NONCE) == {"a.md": f"In tags:\n{plain}"}
    assert only(plain, NONCE) == {"proposal.md": "# Old\n"}


def test_a_closing_tag_may_lack_the_nonce() -> None:
    begins = f'<file-{NONCE} path="a.md">\n'
    assert only(f"{begins}# A\n</file>\n", NONCE) == {"a.md": "# A\n"}
    both = f"{begins}In tags:\n</file>\n</file-{NONCE}>\n</file>\n"
    assert only(both, NONCE) == {"a.md": "In tags:\n</file>\n"}
    assert refused(f"{begins}# A\n</file>\nmore\n</file>\n", NONCE) == "bad_reply"


@pytest.mark.parametrize("mark", ["", f"-{NONCE}"])
def test_a_reply_that_may_be_cut_is_complete_only_where_each_file_is_closed(mark: str) -> None:
    begins = f'<file{mark} path="a.md">\n# A\n'
    for text in (
        f"{begins}It ends with </file{mark}>\nand has more",
        f"{begins}</file{mark}> ends it\n",
    ):
        assert len(parse_reply(text, NONCE)) == 1
        assert not is_complete_in_form(text, NONCE)
    for text in (
        f"{begins}</file{mark}>\nDone.",
        f"{begins}end</file{mark}>\n\n",
        f"{begins}end</file{mark}>\n{begins}</file{mark}>",
    ):
        assert is_complete_in_form(text, NONCE)


@pytest.mark.parametrize("words", ["Here it is: ", "first ", "1. ", "Ready:", "\ufeff**New:** "])
@pytest.mark.parametrize("mark", ["", f"-{NONCE}"])
def test_words_before_the_tag_in_its_line(words: str, mark: str) -> None:
    first = f'{words}<file{mark} path="a.md">\n# A\n</file{mark}>\n'
    second = f'And {words}<file{mark} path="b.md"> \r\n# B\n</file{mark}>\nDone.\n'
    assert only(first + second, NONCE) == {"a.md": "# A\n", "b.md": "# B\n"}
    assert is_complete_in_form(first, NONCE)
    quoted = f'I say `<file{mark} path="a.md">`\nand\n</file{mark}>\n'
    twice = f'or <file{mark} path="b.md">\n{first}'
    for reply in (quoted, twice):
        assert refused(reply, NONCE) == "bad_reply"


def test_the_form_may_be_spoken_of_at_the_start_of_a_line() -> None:
    given_file = '<file path="a.md">\n# A\n</file>\n'
    for words in ('<file path="..."> is the tag.\n', '<file path="RELATIVE">\nbegins one.\n'):
        assert only(words + given_file) == {"a.md": "# A\n"}
        assert only(given_file + words) == {"a.md": "# A\n"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('<file path="a.md">\nhalf of', "incomplete_reply"),
        ('<file path="a.md">\nhalf of </file> and', "incomplete_reply"),
        ('```\n<file path="a.md">\nhalf of', "incomplete_reply"),
        ('<file path="a.md">x</file>\n<file path="b.md">', "incomplete_reply"),
        ('<file path="a.md">\nx\n<file path="b.md">\ny\n</file>\n', "incomplete_reply"),
        ('<file path="a.md">x</fil', "incomplete_reply"),
        ('I give <file path="a.md">', "incomplete_reply"),
        ("</file>\n", "bad_reply"),
        ('<file path="a.md">\nx\n</file>\nmore\n</file>\n', "bad_reply"),
        ('```xml\n<file path="a.md">\nx\n</file>\nmore\n</file>\n```\n', "bad_reply"),
        ('<file name="a.md">\nhalf of', "incomplete_reply"),
        ('<file path="a.md">x</file>\nor\nx</file>\nor', "bad_reply"),
        ('<file path="a.md">x</file><file path="b.md">y\n</file>\n', "bad_reply"),
        ("<file>x</file>", "bad_reply"),
        ('<file name="a.md">x</file>', "bad_reply"),
        ('<file path="a.md" path="b.md">x</file>', "bad_reply"),
        ("no <file>beginning</file>", "bad_reply"),
        ('Here: <file path="a.md"># A</file>', "bad_reply"),
        ('  <file path="a.md">\n  # A\n  </file>\n', "bad_reply"),
        ('> <file path="a.md">\n> # A\n> </file>\n', "bad_reply"),
        ('<file-ffffff path="a.md">\n# A\n</file-ffffff>\n', "bad_reply"),
        ('<file path="a.md">\n...\n</file>\n', "bad_reply"),
        ('<file path="a.md">...</file>\n<file path="b.md">\n# B\n</file>\n', "bad_reply"),
        ('<file path="a.md">\n[unchanged]\n</file>\n', "bad_reply"),
        ('<file path="a.md">\n\u2026 the rest as before \u2026\n</file>\n', "bad_reply"),
        ('<file path="a.md">\n</file>\n', "bad_reply"),
        ('<file path="a.md">\n```markdown\n...\n```\n</file>\n', "bad_reply"),
        ('<file path="a.md">\n```markdown\n# A\n</file>\n```\n', "bad_reply"),
        ("".join(f'<file path="{n}.md">x</file>\n' for n in range(201)), "bad_reply"),
    ],
)
def test_replies_that_can_not_be_used(reply: str, reason: str) -> None:
    assert refused(reply, NONCE) == reason
    if "path" in reply:
        marked = reply.replace("<file ", f"<file-{NONCE} ").replace("</file>", f"</file-{NONCE}>")
        assert refused(marked, NONCE) == reason


@given(st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=5), PROSE, st.booleans())
def test_what_is_put_in_comes_out_whatever_is_said_between(
    files: dict[str, str], words: str, marked: bool
) -> None:
    mark = f"-{NONCE}" if marked else ""
    reply = words.join(
        ["", *(f'<file{mark} path="{n}">\n{text}</file{mark}>\n' for n, text in files.items()), ""]
    )
    assert only(reply, NONCE) == files
    assert is_complete_in_form(reply, NONCE)


PIECES = [
    '<file path="a.md">',
    "<file path='b.md'>",
    f'<file-{NONCE} path="a.md">',
    "</file>",
    f"</file-{NONCE}>",
    "<think>",
    "</think>",
    "```",
    "```markdown",
    "...",
    "# A",
    " ",
    ">",
    "\n",
    "\n",
    "\r\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_file_begins_within_a_line(reply: str) -> None:
    try:
        files = parse_reply(reply, NONCE)
    except BadReplyError:
        return
    for file in files:
        tags = [f"<file path='{file.path}'>", f'<file path="{file.path}">']
        tags.append(f'<file-{NONCE} path="{file.path}">')
        assert any(reply.startswith(tag) or f"\n{tag}" in reply for tag in tags)
        assert file.text.strip()


@given(st.text(st.sampled_from(list('<file path="a.md">\n/`~[]think')), max_size=80))
def test_any_text_is_read_or_refused(reply: str) -> None:
    with contextlib.suppress(BadReplyError):
        assert all(file.text for file in parse_reply(reply, NONCE))


HARD = {
    "opened": "<file path='a.md'>\n",
    "opened, no end": "<file path='a\n",
    "tags in a line": "<file path='a.md'>",
    "ends": "</file>\n",
    "ends in a line": "</file>",
    "ends and spaces": "</file" + " " * 40,
    "thoughts": "<think>\n",
    "thoughts in a line": "<think>",
    "thoughts end": "</think>\n",
    "fences": "```\n",
    "fences with words": "```x\n",
    "fences of many marks": "~~~~~~~~~~~~~~\n`x`\n",
    "marks": "`",
    "spaces": " ",
    "files": "<file path='a.md'>x</file>\n```\n",
    "attributes": "<file a=\"b' ",
    "entities": "<file path='&#&amp;&'>\n",
    "dots": "<file path='a.md'>\n" + "." * 50 + "x\n</file>\n",
    "lines": "\n",
}


@pytest.mark.parametrize("name", HARD)
def test_the_time_it_takes_grows_with_the_length(name: str) -> None:
    def parse(chars: int) -> None:
        reply = HARD[name] * (chars // len(HARD[name]))
        with contextlib.suppress(BadReplyError):
            parse_reply(reply, NONCE)

    # In proportion it is 10 times, and up to 17 where others use the processor's caches; with the
    # square of the length it would be 100 times.
    check_growth(parse, 10_000, 30, floor_s=0.003)
