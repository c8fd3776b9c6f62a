"""Replies in every dialect, wherever their bytes are cut."""

import itertools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.llm.ends import EndKind
from rtserver.runs.llm.errors import LlmError, broken
from rtserver.runs.llm.reply import Reply, ReplyReader
from rtserver.runs.llm.sse import BrokenStreamError
from tests.support.cost import check_growth
from tests.support.llm_server import KEY
from tests.unit.runs.llm.bad_dialects import BAD
from tests.unit.runs.llm.dialects import DONE, GOOD, STOP, Dialect, says, sse, whole

ALL = {**GOOD, **BAD}
REPOSITORY = Path(__file__).parents[4]


@dataclass(frozen=True)
class Outcome:
    text: str
    reasoning: str
    reply: Reply | None
    reason: str | None = None
    message: str = ""


def read(chunks: Iterable[bytes], *, max_bytes: int = 1 << 20) -> Outcome:
    texts: list[str] = []
    thoughts: list[str] = []
    reader = ReplyReader(
        texts.append, thoughts.append, max_bytes=max_bytes, max_pieces=100_000, secrets=(KEY,)
    )
    try:
        try:
            for chunk in chunks:
                reader.feed(chunk)
            reader.end()
        except BrokenStreamError as error:
            raise broken(str(error)) from None
        reply = reader.outcome()
    except LlmError as error:
        return Outcome("".join(texts), "".join(thoughts), None, error.reason, str(error))
    assert reply.text == "".join(texts)
    return Outcome(reply.text, "".join(thoughts), reply)


def check(dialect: Dialect, outcome: Outcome) -> None:
    assert outcome.reasoning == dialect.reasoning
    assert outcome.reason == dialect.reason, outcome.message
    if dialect.reason is None:
        assert outcome.reply is not None
        assert outcome.text == dialect.text
        assert outcome.reply.ended == dialect.ended
        assert set(dialect.notes) <= set(outcome.reply.notes)
    else:
        assert outcome.text == dialect.handed_on
        for words in dialect.words:
            assert words in outcome.message
        assert KEY not in outcome.message
        assert outcome.message.isprintable()
        assert len(outcome.message) < 500


@pytest.mark.parametrize("name", ALL)
def test_dialects(name: str) -> None:
    check(ALL[name], read([ALL[name].body]))


@pytest.mark.parametrize("name", ALL)
def test_cuts_make_no_difference(name: str) -> None:
    dialect = ALL[name]
    body = dialect.body
    if len(body) > 5000:
        return
    check(dialect, read(body[at : at + 1] for at in range(len(body))))
    for at in range(1, len(body), 1 + len(body) // 300):
        check(dialect, read((body[:at], body[at:])))


@given(st.sampled_from(sorted(ALL)), st.lists(st.integers(0, 3000), max_size=8))
def test_nor_do_several(name: str, cuts: list[int]) -> None:
    body = ALL[name].body
    at = [0, *sorted(cuts), len(body)]
    check(ALL[name], read(body[a:b] for a, b in itertools.pairwise(at)))


# Its first piece alone is what a server sends that says `stop` with its only piece.
AMBIGUOUS = "stop in every piece, and once alone"


@pytest.mark.parametrize(
    "name", [name for name in GOOD if b"[DONE]" not in GOOD[name].body and name != AMBIGUOUS]
)
def test_half_of_a_good_stream_is_never_a_reply(name: str) -> None:
    """Cut anywhere before its end, a stream of files is an error or has an end of its own."""
    body = GOOD[name].body
    for at in range(len(body)):
        outcome = read([body[:at]])
        assert outcome.reply is None or outcome.text == GOOD[name].text


@pytest.mark.parametrize("mark", [b"", b"\n", b"\xef\xbb\xbf"])
def test_a_whole_completion_needs_no_end_of_the_stream(mark: bytes) -> None:
    """Its server may have counted its bytes wrong, or keep the connection open."""
    for indent in (None, 1):
        body = mark + json.dumps(whole({"content": "a\n"}), indent=indent).encode()
        for at in range(1, len(body)):
            reader = ReplyReader(_ignore, _ignore, max_bytes=1000, max_pieces=10)
            reader.feed(body[:at])
            assert not reader.is_whole()
            reader.feed(body[at:])
            assert reader.is_whole()
            assert reader.outcome().text == "a\n"


def test_what_is_not_whole_without_an_end_of_the_stream() -> None:
    for body in (
        b"",
        sse(says("a"), STOP),
        sse(says("a"), STOP)[:-2],
        sse(says("a")) + b'{"choices": []}',
        b"words",
        b'{"choices": []}',
    ):
        reader = ReplyReader(_ignore, _ignore, max_bytes=1000, max_pieces=10)
        reader.feed(body)
        assert not reader.is_whole()
    reader = ReplyReader(_ignore, _ignore, max_bytes=1000, max_pieces=10)
    reader.feed(b'{"error": "overloaded"}')
    with pytest.raises(LlmError, match="overloaded"):
        reader.is_whole()
    reader = ReplyReader(_ignore, _ignore, max_bytes=1000, max_pieces=10)
    reader.feed(b"<html>")
    with pytest.raises(BrokenStreamError, match="web page"):
        reader.is_whole()


def test_the_table_in_the_documents_names_tests_that_there_are() -> None:
    text = (REPOSITORY / "docs" / "iterations.md").read_text(encoding="utf-8")
    lines = [line for line in text.partition("### Dialects")[2].splitlines() if line[:1] == "|"]
    rows = [line.split("|") for line in lines]
    assert all(len(row) == 6 for row in rows), "each has four columns"
    named = {row[1].strip(): re.findall(r"`([^`]+)`", row[4]) for row in rows}
    heads = {"server", "what is sent", "---"}
    assert {head for head, names in named.items() if not names} == heads, "each names its tests"
    assert len(named) > 35
    files = "".join(path.read_text() for path in (REPOSITORY / "tests/unit/runs").rglob("*.py"))
    for name in {name for names in named.values() for name in names}:
        there = (
            any((REPOSITORY / "tests" / "unit" / "runs").rglob(name))
            if name.endswith(".py")
            else name in ALL or f"def {name}(" in files
        )
        assert there, name


def test_how_a_stream_ended_is_told() -> None:
    def kind(body: bytes) -> EndKind:
        reader = ReplyReader(_ignore, _ignore, max_bytes=1000, max_pieces=10)
        reader.feed(body)
        return reader.end_kind

    assert kind(sse(says("a"), STOP)) == EndKind.GOOD
    assert kind(sse(says("a"), says("", "length"))) == EndKind.CUT
    assert kind(sse(says("a"), says("", "banana"))) == EndKind.UNKNOWN
    assert kind(sse(says("a", "stop"), says("b"))) == EndKind.NONE
    assert kind(sse(DONE)) == EndKind.NONE


def _ignore(_text: str) -> None: ...


@pytest.mark.parametrize(
    ("usage", "taken"),
    [
        (
            b'{"total_tokens":3,"prompt_tokens":1,"more":[]}',
            {"total_tokens": 3, "prompt_tokens": 1},
        ),
        (b'{"total_tokens":9223372036854775807}', {"total_tokens": 2**63 - 1}),
        (b'{"total_tokens":9223372036854775808}', {}),
        (b'{"total_tokens":' + b"9" * 400 + b"}", {}),
        (b'{"total_tokens":' + b"9" * 5000 + b"}", None),
        (b'{"total_tokens":-1,"prompt_tokens":true,"completion_tokens":1.5}', {}),
        (b'{"total_tokens":"3"}', {}),
        (b"null", None),
        (b"[1]", None),
        (b'{"total_tokens":' + b"[" * 50_000 + b"]" * 50_000 + b"}", None),
    ],
)
def test_usage_is_what_can_be_stored(usage: bytes, taken: dict[str, int] | None) -> None:
    for body in (
        sse(says("a"), b'{"choices":[],"usage":' + usage + b"}", STOP),
        sse(
            b'{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":' + usage + b"}"
        ),
    ):
        outcome = read([body])
        if outcome.reply is None:  # deeper or longer than any JSON is read
            assert outcome.reason == "upstream_broken"
        else:
            assert (outcome.reply.usage or None) == (taken or None)


def test_pieces_of_several_hundred_kib() -> None:
    text = "word " * 100_000
    assert read([sse(says(text), says(text), STOP)], max_bytes=1 << 21).text == text * 2
    body = json.dumps(whole({"content": text * 3})).encode()
    assert read([body], max_bytes=1 << 21).text == text * 3
    assert read((body[at : at + 1000] for at in range(0, len(body), 1000)), max_bytes=1 << 21).text


def test_what_is_larger_than_a_reply_may_be() -> None:
    assert read([sse(says("x" * 2000))], max_bytes=1000).reason == "reply_too_large"
    assert read([sse(says(None, reasoning="x" * 2000))], max_bytes=1000).reason == "reply_too_large"
    for endless in (b'{"choices": "', b'{\n"x": [\n', b"["):
        outcome = read(
            itertools.chain([endless], itertools.repeat(b"x" * 9999, 100)), max_bytes=1000
        )
        assert outcome.reason == "upstream_broken"
        assert "no end" in outcome.message


SLOW: dict[str, Callable[[int], Iterable[bytes]]] = {
    "a line byte by byte": lambda n: itertools.repeat(b"x", n),
    "an event byte by byte": lambda n: (b"data: x"[at % 7 :][:1] for at in range(n)),
    "line ends": lambda n: itertools.repeat(b"\n" * 100, n // 100),
    "empty data": lambda n: itertools.repeat(b"data:\n", n // 6),
    "a document line by line": lambda n: itertools.chain(
        [b"{\n"], itertools.repeat(b"1,\n", n // 3)
    ),
    "a document of blank lines": lambda n: itertools.chain([b"{\n"], itertools.repeat(b"\n", n)),
    "brackets": lambda n: [sse("[" * n)],
    "a list of parts": lambda n: [sse(says([{"type": "text", "text": "x"}] * (n // 40)), STOP)],
    "thoughts in one piece": lambda n: [sse(says("<think></think>" * (n // 15)), STOP)],
    "thoughts": lambda n: itertools.repeat(sse(says("<think></think>")), n // 150),
    "what may become a tag": lambda n: itertools.repeat(sse(says("<")), n // 150),
    "what may end a thought": lambda n: itertools.chain(
        [sse(says("<think>"))], itertools.repeat(sse(says("</thin")), n // 150)
    ),
    "blanks": lambda n: itertools.repeat(sse(says(" ")), n // 150),
    "refusals": lambda n: itertools.repeat(sse(says(None, refusal="no " * 10)), n // 150),
    "tools": lambda n: itertools.repeat(
        sse(says(None, tool_calls=[{"function": {"name": "f"}}])), n // 150
    ),
    "closing tags": lambda n: [sse(says("a" + "</think> " * (n // 9)), STOP)],
    "halves": lambda n: [
        b'data: {"choices":[{"delta":{"content":"' + b"\\ud83d" * (n // 6) + b'"}}]}\n\n'
    ],
    "an error": lambda n: [sse({"error": {"message": "sk- bearer " * (n // 12)}})],
}


@pytest.mark.parametrize("name", SLOW)
def test_ten_times_the_bytes_take_ten_times_the_time(name: str) -> None:
    # 50 rather than 10: the smaller one may be too quick to be measured well. Squared it were 100.
    check_growth(lambda size: read(SLOW[name](size), max_bytes=10 * size), 10_000, 50)
