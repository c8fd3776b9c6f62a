"""The demo's stand-in for a language model: it streams plausible revisions of small proposals.

It knows nothing. It puts what was asked for into the proposal as a bullet, a task and a
requirement, each in its place, and says that it is a demo. It stands behind a real HTTP endpoint,
so everything between it and the viewers is what a real model would go through.
"""

import asyncio
import re
from collections.abc import Iterator

from rtserver.demo.completions_server import Answer, CompletionRequest, CompletionsServer
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.iteration.reply_files import BadReplyError, parse_reply

DEMO_MODEL = "demo"
TOKENS_PER_S = 60.0
MAX_REWRITTEN_CHARS = 12_000

_INSTRUCTION = re.compile(r"<instruction>\n(.*)\n</instruction>", re.DOTALL)
_PIECE = re.compile(r"\s*\S{1,6}|\s+")


def demo_server(tokens_per_s: float = TOKENS_PER_S) -> CompletionsServer:
    """The stand-in; the caller starts and stops it."""

    async def respond(request: CompletionRequest, answer: Answer) -> None:
        for piece in _PIECE.findall(revision(request.messages[-1].content)):
            if answer.gone.is_set():
                return
            await answer.text(piece)
            await asyncio.sleep(1 / tokens_per_s)
        await answer.finish()

    return CompletionsServer(respond)


def revision(prompt: str) -> str:
    """A reply to a prompt of `rtserver.runs.iteration.prompt`."""
    found = _INSTRUCTION.findall(prompt)
    wish = " ".join(found[-1].split())[:200].strip(" .!?") if found else ""
    wish = (wish[:1].upper() + wish[1:]) or "Say more clearly what changes"
    shown = prompt[: prompt.rfind("<instruction>")] if found else prompt
    files = _files_in(shown)
    changed = list(_changes(files, wish))
    words = (
        "I am the demo's stand-in for a language model: I understand nothing, but I know where "
        f"things go. You asked for: {wish}. "
    )
    if not changed:
        return words + "I found no file here that I could put it into."
    names = ", ".join(path for path, _ in changed)
    return f"{words}I put it into {names}.\n\n" + "\n\n".join(
        f'<file path="{path}">\n{text}</file>' for path, text in changed
    )


def _files_in(shown: str) -> dict[str, str]:
    try:
        found = parse_reply(shown)
    except (BadReplyError, UnsafePathError):
        return {}  # a file has the tags in its text
    return {file.path: file.text for file in found if len(file.text) <= MAX_REWRITTEN_CHARS}


def _changes(files: dict[str, str], wish: str) -> Iterator[tuple[str, str]]:
    proposal = files.get("proposal.md", "")
    if (text := _in_section(proposal, "## What Changes", f"- {wish}.")) is not None:
        yield "proposal.md", text
    for path, content in files.items():
        if path.startswith("specs/") and (text := _with_requirement(content, wish)) is not None:
            yield path, text
            break
    if "tasks.md" in files and (text := _with_task(files["tasks.md"], wish)) is not None:
        yield "tasks.md", text


def _in_section(text: str, header: str, addition: str) -> str | None:
    """The text with a line at the end of a section; None where there is no such section."""
    found = re.search(rf"^{re.escape(header)}[^\n]*\n(?:(?!^## ).*\n?)*", text, re.MULTILINE)
    if found is None:
        return None
    section = found[0].rstrip("\n")
    rest = text[found.end() :]
    return f"{text[: found.start()]}{section}\n{addition}\n" + (f"\n{rest}" if rest else "")


def _with_requirement(text: str, wish: str) -> str | None:
    name = _unused_name(text, wish)
    return _in_section(
        text,
        "## ADDED Requirements",
        f"\n### Requirement: {name}\n\n"
        f"The service SHALL do what the review asked for: {wish}.\n\n"
        f"#### Scenario: {name}, once it is in use\n\n"
        f"- **WHEN** somebody needs it\n- **THEN** it is there",
    )


def _unused_name(text: str, wish: str) -> str:
    plain = " ".join(re.sub(r"[^\w' -]", " ", wish).split()[:8])
    name, number = plain, 2
    while f"Requirement: {name}\n" in text:
        name, number = f"{plain} ({number})", number + 1
    return name


def _with_task(text: str, wish: str) -> str | None:
    sections = [int(number) for number in re.findall(r"^## (\d+)\.", text, re.MULTILINE)]
    following = max(sections, default=0) + 1
    return f"{text.rstrip()}\n\n## {following}. From the review\n\n- [ ] {following}.1 {wish}\n"
