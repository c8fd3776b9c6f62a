"""What a language model is told."""

from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.read import ProposalFiles, SeenFile
from rtserver.runs.iteration.prompt import RULES, Prompt, build_prompt
from rtserver.runs.iteration.reply_files import parse_reply


def files_of(files: dict[str, str], unread: dict[str, str] | None = None) -> ProposalFiles:
    seen = {path: SeenFile(text, digest_of(text.encode())) for path, text in files.items()}
    return ProposalFiles(seen, unread or {})


def prompt_of(
    files: dict[str, str],
    *,
    unread: dict[str, str] | None = None,
    findings: list[str] | None = None,
    max_chars: int = 10_000,
) -> Prompt:
    return build_prompt(
        proposal_id="c1",
        title="A title",
        files=files_of(files, unread),
        findings=findings or [],
        instruction="Make it better",
        max_chars=max_chars,
    )


def test_everything_that_matters_is_in_it() -> None:
    files = {"proposal.md": "# Why\n", "specs/fees/spec.md": "# Fees\n"}
    prompt = prompt_of(files, findings=["ERROR: specs/fees: no scenario"])
    system, user = prompt.messages
    assert (system.role, system.content) == ("system", RULES)
    assert user.role == "user"
    shown = user.content[: user.content.index("<instruction>")]
    assert {file.path: file.text for file in parse_reply(shown)} == files
    assert "<instruction>\nMake it better\n</instruction>" in user.content
    assert "- ERROR: specs/fees: no scenario" in user.content
    assert "c1 (A title)" in user.content
    assert prompt.shown == frozenset(files)
    assert prompt.left_out == {}
    assert "not shown" not in user.content


def test_the_rules_say_what_a_proposal_is() -> None:
    for words in ("SHALL or MUST", "#### Scenario", "MODIFIED"):
        assert words in RULES


def test_the_form_of_the_answer_has_a_mark_of_its_own_and_comes_last() -> None:
    one, other = prompt_of({"proposal.md": "# Why\n"}), prompt_of({"proposal.md": "# Why\n"})
    assert one.nonce != other.nonce
    assert one.nonce.isalnum()
    form = one.messages[-1].content.rpartition("</instruction>")[2]
    assert f'<file-{one.nonce} path="RELATIVE">\n' in form
    assert f"\n</file-{one.nonce}>\n" in form
    # Who repeats the form, or what it was shown, gives no file by it.
    answer = f'<file-{one.nonce} path="tasks.md">\n# T\n</file-{one.nonce}>\n'
    repeated = parse_reply(one.messages[1].content + answer, one.nonce)
    assert [file.path for file in repeated] == ["tasks.md"]
    # All that is the same for the next run stands before what is not.
    assert one.messages[0] == other.messages[0]
    texts = [prompt.messages[1].content.partition(prompt.nonce)[0] for prompt in (one, other)]
    assert texts[0] == texts[1]
    assert "</instruction>" in texts[0]


def test_odd_names_of_files() -> None:
    files = {"specs/a&b/spec.md": "# A\n", 'it"s <one>.md': "# B\n", "x'\".md": "# C"}
    shown = prompt_of(files).messages[1].content.partition("<instruction>")[0]
    found = {file.path: file.text for file in parse_reply(shown)}
    assert found == {**files, "x'\".md": "# C\n"}


def test_what_is_left_out_is_said() -> None:
    files = {"specs/a/spec.md": "a" * 500, "proposal.md": "p" * 600, "tasks.md": "t" * 300}
    prompt = prompt_of(files, unread={"logo.png": "it is not UTF-8 text"}, max_chars=1000)
    assert prompt.shown == {"proposal.md", "tasks.md"}
    assert set(prompt.left_out) == {"specs/a/spec.md", "logo.png"}
    text = prompt.messages[1].content
    assert "- specs/a/spec.md: it has 500 characters, and there was room for 100" in text
    assert "- logo.png: it is not UTF-8 text" in text
    assert "aaa" not in text


def test_no_files() -> None:
    prompt = prompt_of({})
    assert "(none)" in prompt.messages[1].content


def test_many_files_that_are_left_out() -> None:
    prompt = prompt_of({f"specs/{n:03}/spec.md": "x" * 20 for n in range(300)}, max_chars=40)
    assert len(prompt.left_out) == 298
    assert "- and 198 more" in prompt.messages[1].content


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,9}\.md", fullmatch=True), st.text(max_size=300)),
    st.integers(0, 1000),
)
def test_the_bound_holds_and_no_file_is_forgotten(files: dict[str, str], bound: int) -> None:
    prompt = prompt_of(files, max_chars=bound)
    assert sum(len(files[path]) for path in prompt.shown) <= bound
    assert set(prompt.left_out) | prompt.shown == set(files)
    assert not set(prompt.left_out) & prompt.shown
