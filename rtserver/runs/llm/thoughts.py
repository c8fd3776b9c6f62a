"""Tells a model's thoughts at the beginning of its reply from the answer.

Many models think in tags at the start of `content`, and many servers pass that on as it is. The
table has the forms; each is read as the text comes, in whatever pieces.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_TAG_CHARS = 200
"""Of an opening tag with all that is in it."""
_MAX_HELD_CHARS = 60
"""Of what may become a closing tag."""

_COMMON_NAME = (
    r"(?:seed:|antml:|ant)?(?:think(?:ing)?|thoughts?|thought[_-]?process|reason(?:ing)?"
    r"|reflect(?:ion)?|analysis|scratch[_-]?pad|deliberation|inner[_-]?(?:monologue|thoughts?)"
    r"|chain[_-]of[_-]thought)"
)
# What begins a reply in a tag of such a name is no answer, whatever the name is in full.
_NAME = (
    r"(?:[\w:.-]{0,30}?(?:think|thought|reason|reflect|scratch|monolog|ponder|deliberat)[\w:.-]{0,30}"
    r"|analysis|cot)"
)
_HARMONY = (
    r"(?:<\|start\|>[^<]{{0,40}})?<\|channel\|>\s*{channel}\b[^<]{{0,80}}"
    r"(?:<\|constrain\|>[^<]{{0,80}})?<\|message\|>"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to write a thought.

    Attributes:
        opens: matches where it begins.
        closes: made of the match, matches where it ends.
        last_words: with which it ends, in lower case, where no tag does that.
    """

    opens: re.Pattern[str]
    closes: Callable[[re.Match[str]], str]
    last_words: tuple[str, ...] = ()


def _form(
    opens: str,
    closes: str | Callable[[re.Match[str]], str],
    *last_words: str,
    flags: int = re.IGNORECASE,
) -> _Form:
    made = closes if callable(closes) else lambda _match: closes
    return _Form(re.compile(opens, flags), made, last_words)


def _bare(name: str) -> str:
    """A name as it stands in the closing tag."""
    return re.escape(re.sub(r"^(?:begin|start)_(?:of_)?", "", name, flags=re.IGNORECASE))


_FORMS = (
    # `<think>`: DeepSeek, Qwen, Nemotron, Phi, MiniMax; `<thought>`: EXAONE, Gemini;
    # `<seed:think>`: Seed-OSS; the others: models that are told to, or learned from such ones.
    _form(
        rf"<\s?(?P<name>{_NAME})(?:\s[^<>]{{0,120}})?(?<!/)>",
        lambda match: rf"</\s?{re.escape(match['name'])}\s?>",
    ),
    _form(r"\[(?P<name>THINK(?:ING)?)\]", lambda match: rf"\[/{match['name']}\]"),  # Magistral
    _form("\u25c1(?P<name>think(?:ing)?)\u25b7", lambda match: f"\u25c1/{match['name']}\u25b7"),
    # gpt-oss, whose server did not take its channels apart; and with its special tokens left out.
    _form(
        _HARMONY.format(channel="(?:analysis|commentary)"),
        r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)",
    ),
    _form(r"analysis(?=[A-Z<\"'])", "assistantfinal", "assistantfinal", flags=0),
    # OpenThinker, Sky-T1, Command A, Apertus and their kin.
    _form(
        rf"<\|(?:begin_of_|start_of_|begin_|start_)?(?P<name>{_NAME})\|>",
        lambda match: rf"<\|(?:/|end_of_|end_){_bare(match['name'])}\|>",
    ),
    _form(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    _form(r"<\|channel>\s?thought\s", r"<channel\|>"),  # Gemma 4
    _form(r"<unused94>\s?thought\s", r"<unused95>"),  # MedGemma
    _form(r"<details\s[^<>]{0,60}type=\"reasoning\"[^<>]{0,100}>", r"</details>"),  # Open WebUI
    _form(  # Granite 3.2
        r"Here(?:'s| is) my thought process:",
        r"Here(?:'s| is) my response:",
        *("here's my response:", "here is my response:"),
    ),
)
_MARKS = re.compile(
    # What may stand between a thought and the answer, and says nothing. A closing tag alone: the
    # chat template had put the opening one into the prompt, and the thought is empty.
    rf"\s+|\ufeff|</\s?{_NAME}\s?>|\[/THINK(?:ING)?\]|\u25c1/think(?:ing)?\u25b7"
    rf"|<\s?{_NAME}\s?/>|{_HARMONY.format(channel='final')}"
    rf"|<\|(?:end|return|message|begin_of_solution|start_response|(?:end_|end_of_){_NAME})\|>",
    re.IGNORECASE,
)
_BEGINNINGS = ("analysis", "here's my thought process:", "here is my thought process:")
BEGINS = (
    rf"(?:<\s?{_COMMON_NAME}(?:\s[^<>]{{0,120}})?(?<!/)>|\[THINK(?:ING)?\]|\u25c1think(?:ing)?\u25b7"
    r"|<\|(?:begin_of_|start_)?(?:thought|think(?:ing)?)\|>|<\|inner_prefix\|>"
    r"|<\|channel>\s?thought\s|<unused94>\s?thought\s)"
)
"""A pattern of the tags with which thoughts begin that stand further on in a text."""
ENDS = (
    rf"(?:</\s?{_COMMON_NAME}\s?>|\[/THINK(?:ING)?\]|\u25c1/think(?:ing)?\u25b7"
    r"|<\|(?:end_of_|end_|/)(?:thought|think(?:ing)?)\|>|<\|inner_suffix\|>"
    r"|<channel\|>|<unused95>)"
)
"""Likewise, with which they end."""
_CLOSED_AT_THE_END = re.compile(rf"{ENDS}\s*\Z", re.IGNORECASE)


class ThoughtSplitter:
    """Takes the text of a reply in pieces, gives it back as reasoning and answer.

    The time it takes grows with the length of the text, however it is cut.

    Attributes:
        answering: the answer has begun: all further text is of it.
        found: there was a thought.
    """

    def __init__(self) -> None:
        self.answering = False
        self.found = False
        self._closes: re.Pattern[str] | None = None
        self._last_words: tuple[str, ...] = ()
        self._held = ""

    @property
    def thinking(self) -> bool:
        """Whether a thought was begun, and has not ended."""
        return self._closes is not None

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece.

        Returns:
            What is reasoning, and what is of the answer after it.
        """
        if self.answering:
            return "", piece
        text, self._held = self._held + piece, ""
        at = 0
        reasoning: list[str] = []
        while at < len(text):
            if self._closes is not None:
                end = self._closes.search(text, at)
                if end is None:
                    held = _beginning_of_an_end(text, at, self._last_words)
                    reasoning.append(text[at:held])
                    self._held = text[held:]
                    break
                reasoning.append(text[at : end.start()])
                at = end.end()
                self._closes = None
            elif (mark := _MARKS.match(text, at)) is not None:
                at = mark.end()
            elif (opened := _opened(text, at)) is not None:
                form, match = opened
                self._closes = re.compile(form.closes(match), re.IGNORECASE)
                self._last_words = form.last_words
                self.found = True
                at = match.end()
            elif _may_open(text[at : at + MAX_TAG_CHARS]):
                self._held = text[at:]
                break
            else:
                self.answering = True
                return "".join(reasoning), text[at:]
        return "".join(reasoning), ""

    def end(self) -> tuple[str, str]:
        """What was held back; there is nothing to come."""
        held, self._held = self._held, ""
        return (held, "") if self.thinking else ("", held)


def is_all_thought(answer: str) -> bool:
    """Whether an answer ends with the end of a thought that it did not begin."""
    return _CLOSED_AT_THE_END.search(answer, max(0, len(answer) - MAX_TAG_CHARS)) is not None


def _opened(text: str, at: int) -> tuple[_Form, re.Match[str]] | None:
    for form in _FORMS:
        if (match := form.opens.match(text, at)) is not None:
            return form, match
    return None


def _may_open(beginning: str) -> bool:
    """Whether more text may make it the beginning of a thought."""
    if len(beginning) == MAX_TAG_CHARS:
        return False
    lower = beginning.lower()
    if lower.startswith(("<|start|>", "<|channel|>")):
        return "<|message|>" not in lower
    if lower.startswith(("<|channel>", "<unused94>")):
        return len(lower) < 20
    if lower[0] in "<[\u25c1":
        return not any(end in lower for end in ">]\u25b7\n")
    return any(whole.startswith(lower) for whole in _BEGINNINGS)


def _beginning_of_an_end(text: str, at: int, last_words: tuple[str, ...]) -> int:
    """Where in a thought something begins that more text may make its end."""
    tail = max(at, len(text) - _MAX_HELD_CHARS)
    begins = max(text.rfind("<", tail), text.rfind("[", tail), text.rfind("\u25c1", tail))
    if begins >= 0 and not any(end in text[begins:] for end in ">]\u25b7"):
        return begins
    last = text[tail:].lower()
    for words in last_words:
        for length in range(min(len(last), len(words)), 0, -1):
            if last.endswith(words[:length]):
                return len(text) - length
    return len(text)
