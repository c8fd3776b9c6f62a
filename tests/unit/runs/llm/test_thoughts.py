"""Thoughts at the start of a reply, in every spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.llm.thoughts import ThoughtSplitter, is_all_thought

QUOTE = 'I answer with <file path="proposal.md">\n...\n</file>, not `<think>`'
ANSWER = '<file path="design.md">\n# A\n</file>\n'
SPELLINGS = {
    "think": ("<think>", "</think>"),
    "in capitals": ("<THINK>", "</Think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "thought": ("<thought>", "</thought>"),
    "thoughts": ("<thoughts>\n", "\n</thoughts>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "reason": ("<reason>", "</reason>"),
    "reflection": ("<reflection>", "</reflection>"),
    "analysis": ("<analysis>", "</analysis>"),
    "scratchpad": ("<scratchpad>", "</scratchpad>"),
    "inner monologue": ("<inner_monologue>", "</inner_monologue>"),
    "antThinking": ("<antThinking>", "</antThinking>"),
    "seed": ("<seed:think>", "</seed:think>"),
    "thinking process": ("<thinking_process>", "</thinking_process>"),
    "reasoning content": ("<reasoning_content>", "</reasoning_content>"),
    "internal monologue": ("<internal-monologue>", "</internal-monologue>"),
    "cot": ("<cot>", "</cot>"),
    "pipes": ("<|think|>", "<|/think|>"),
    "pipes and words": ("<|begin_thinking|>", "<|end_thinking|>"),
    "with attributes": ('<think time="3" x>', "</think >"),
    "Magistral": ("[THINK]", "[/THINK]"),
    "Kimi": ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "gpt-oss, thrice": (
        "<|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>commentary to=x <|constrain|>json<|message|>",
        "<|call|><|start|>assistant<|channel|>final<|message|>",
    ),
    "gpt-oss without its marks": ("analysisWe see. ", "assistantfinal"),
    "OpenThinker": (
        "<|begin_of_thought|>",
        "<|end_of_thought|>\n\n<|begin_of_solution|>\n",
    ),
    "Command A": ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "Gemma": ("<|channel>thought\n", "<channel|>"),
    "MedGemma": ("<unused94>thought\n", "<unused95>"),
    "Open WebUI": ('<details type="reasoning" done="true" duration="3">', "</details>"),
    "Granite": ("Here is my thought process:", "Here is my response:"),
    "Granite, shorter": ("Here's my thought process:", "Here's my response:"),
    "two in a row": ("<think>a</think>\n<reflection>", "</reflection>"),
    "after blank lines": ("\n \n\ufeff<think>", "</think>"),
    "after an empty one": ("<think/>\n<think>", "</think>"),
    "after one that was begun in the prompt": ("</think>\n\n<think>", "</think>"),
}


def split(*pieces: str) -> tuple[str, str, bool]:
    """The reasoning, the answer, and whether a thought is open at the end."""
    splitter = ThoughtSplitter()
    parts = [splitter.feed(piece) for piece in pieces]
    parts.append(splitter.end())
    return (
        "".join(reasoning for reasoning, _ in parts),
        "".join(answer for _, answer in parts),
        splitter.thinking,
    )


@pytest.mark.parametrize("name", SPELLINGS)
def test_thoughts_are_no_answer(name: str) -> None:
    opens, closes = SPELLINGS[name]
    text = f"{opens}{QUOTE}{closes}\n\n{ANSWER}"
    reasoning, answer, thinking = split(text)
    assert QUOTE in reasoning
    assert (answer, thinking) == (ANSWER, False)
    assert split(*text) == (reasoning, answer, thinking)
    for at in range(len(text)):
        assert split(text[:at], text[at:]) == (reasoning, answer, thinking)
        # Cut off within the thought or its marks, nothing of the thought is an answer.
        assert QUOTE[:9] not in split(text[:at])[1]


@pytest.mark.parametrize("name", SPELLINGS)
def test_unclosed_thoughts(name: str) -> None:
    reasoning, answer, thinking = split(SPELLINGS[name][0] + QUOTE)
    assert QUOTE in reasoning
    assert (answer, thinking) == ("", True)


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "a",
        "analysis of the proposal",
        "Analysis",
        "Here is my proposal",
        "Here is",
        ANSWER,
        "[x](y) and <think>",
        "[",
        "<",
        "<think",
        "<thin>a</thin>",
        "<rethink",
        '<file path="reasoning.md">',
        "<thin king>",
        "`<think>` is a tag. <think>a</think>",
        "<file\npath='a'>",
        "</file>",
        "<|im_start|>assistant",
        "<details>a</details>",
        "<" + "x" * 500 + ">",
        "<think" + " x" * 500 + ">a",
        "<|channel|>final",
        "\u25c1",
    ],
)
def test_what_is_no_thought(text: str) -> None:
    assert split(text) == ("", text, False)
    assert split(*text) == ("", text, False)


def test_what_comes_shows_as_soon_as_it_is_told_apart() -> None:
    splitter = ThoughtSplitter()
    assert splitter.feed("<thi") == ("", "")
    assert splitter.feed("nk>a <b") == ("a ", "")
    assert splitter.feed("> c </think") == ("<b> c ", "")
    assert splitter.feed(">\n\nH") == ("", "")
    assert splitter.feed("ello") == ("", "Hello")
    assert splitter.answering
    assert splitter.feed("<think>") == ("", "<think>")


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n", "<", "[THINK]", "x" * 70])))
def test_cuts_make_no_difference(parts: list[str]) -> None:
    assert split("".join(parts)) == split(*parts) == split(*"".join(parts))


@pytest.mark.parametrize(
    ("answer", "is_all"),
    [
        ("words</think>", True),
        ("words\n</Thinking>\n \n", True),
        ("words[/THINK]", True),
        ("words</think> more", False),
        ("words", False),
        ("", False),
    ],
)
def test_a_thought_that_began_in_the_prompt(answer: str, is_all: bool) -> None:
    assert is_all_thought(answer) == is_all
