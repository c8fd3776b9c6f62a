"""Requirements in OpenSpec's documents, as far as a reader has to tell them apart.

A capability's spec and a change's delta of it are Markdown. A requirement begins at a heading
`### Requirement: NAME` and ends before the next heading of its level or above. A delta says under
`## ADDED Requirements` and the like what becomes of each; what is renamed is a list of FROM and TO.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from rtserver.reviews.collisions import Operation, Touch, kept_touches

MAX_REQUIREMENTS = 2_000
MAX_LINE_CHARS = 2_000

_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_SECTION = re.compile(
    r"##[ \t]+(ADDED|MODIFIED|REMOVED|RENAMED)[ \t]+Requirements[ \t]*", re.IGNORECASE
)
_REQUIREMENT = re.compile(r"###[ \t]+Requirement:[ \t]*(\S.*?)[ \t]*", re.IGNORECASE)
_SCENARIO = re.compile(r"####[ \t]+Scenario:[ \t]*(\S.*?)[ \t]*", re.IGNORECASE)
_HEADING = re.compile(r"#{1,3}[ \t]")
_MOVE = re.compile(
    r"[ \t]*[-*]?[ \t]*(FROM|TO):[ \t]*`?(?:###[ \t]+)?(?:Requirement:)?[ \t]*(.*?)`?",
    re.IGNORECASE,
)
_TASK = re.compile(r"[ \t]*[-*][ \t]+\[([ xX])\][ \t]")


class RequirementChangeJson(TypedDict):
    """What a revision does to a requirement.

    Attributes:
        capability: whose requirement it is.
        name: the requirement's; of a renamed one, the new name.
        renamed_from: its name so far.
        before: its text in today's specs; null where there is none.
        after: its text in the revision; null where it is removed.
        diff: unified; where OpenSpec is not there to make it, or there is nothing to compare, null.
    """

    capability: str
    operation: Operation
    name: str
    before: str | None
    after: str | None
    diff: str | None
    renamed_from: NotRequired[str]


class TasksJson(TypedDict):
    """How far the tasks are."""

    completed: int
    total: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What a change's document says of one requirement."""

    operation: Operation
    name: str
    text: str
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a requirement or a scenario.

    Attributes:
        line: from 1.
        section: of a delta, what becomes of the requirement.
    """

    line: int
    name: str
    section: Operation | None


def requirements_of(spec: str) -> dict[str, str]:
    """The requirements of a capability's spec: text by name, the heading included."""
    return {name: text for _, name, text in _blocks(spec)}


def deltas_of(spec: str) -> list[Delta]:
    """What a change's document says, in its order."""
    deltas = [
        Delta(operation, name, text)
        for operation, name, text in _blocks(spec)
        if operation is not None and operation != "renamed"
    ]
    return [*deltas, *_renames(spec)][:MAX_REQUIREMENTS]


def headings_of(text: str) -> list[Heading]:
    """The requirements and scenarios of a document, in order."""
    headings: list[Heading] = []
    section: Operation | None = None
    for number, (line, is_plain) in enumerate(_lines(text), 1):
        if not is_plain:
            continue
        if part := _SECTION.fullmatch(line):
            section = part[1].lower()  # type: ignore[assignment]
        elif line.startswith("## "):
            section = None
        elif named := _REQUIREMENT.fullmatch(line) or _SCENARIO.fullmatch(line):
            headings.append(Heading(number, named[1], section))
    return headings


def deltas_by_capability(contents: Mapping[str, bytes]) -> Iterator[tuple[str, list[Delta]]]:
    """What a change's files say of each capability, in the order of the files' paths.

    Args:
        contents: of all its files, by path relative to the change's folder.
    """
    for path in sorted(contents):
        folder, _, name = path.rpartition("/")
        if folder.startswith("specs/") and name == "spec.md":
            text = contents[path].decode("utf-8", "replace")
            yield folder.removeprefix("specs/"), deltas_of(text)


def touches_of(contents: Mapping[str, bytes]) -> list[Touch]:
    """The requirements that a change touches; of a renamed one both names."""
    touches: list[Touch] = []
    for capability, deltas in deltas_by_capability(contents):
        for delta in deltas:
            if delta.renamed_from is not None:
                touches.append(Touch(capability, delta.renamed_from, "renamed", is_new=False))
            is_new = delta.operation in ("added", "renamed")
            touches.append(Touch(capability, delta.name, delta.operation, is_new))
    return kept_touches(touches)


def tasks_of(text: str) -> TasksJson:
    """The check boxes of a list of tasks."""
    marks = [match[1] for line in _plain_lines(text) if (match := _TASK.match(line))]
    return {"completed": sum(mark != " " for mark in marks), "total": len(marks)}


def _blocks(spec: str) -> list[tuple[Operation | None, str, str]]:
    """Each requirement: the section that it is in, its name, its text."""
    found: list[tuple[Operation | None, str, list[str]]] = []
    section: Operation | None = None
    is_open = False
    for line, is_plain in _lines(spec):
        heading = _HEADING.match(line) if is_plain else None
        if heading is None:
            if is_open:
                found[-1][2].append(line)
            continue
        if part := _SECTION.fullmatch(line):
            section = part[1].lower()  # type: ignore[assignment]
        elif line.startswith("## "):
            section = None
        requirement = _REQUIREMENT.fullmatch(line)
        is_open = requirement is not None
        if requirement is not None and len(found) < MAX_REQUIREMENTS:
            found.append((section, requirement[1], [line]))
    return [(section, name, "\n".join(lines).strip("\n")) for section, name, lines in found]


def _renames(spec: str) -> list[Delta]:
    renames: list[Delta] = []
    section = None
    before: str | None = None
    for line in _plain_lines(spec):
        if part := _SECTION.fullmatch(line):
            section = part[1].lower()
        elif line.startswith("## "):
            section = None
        elif section == "renamed" and (move := _MOVE.fullmatch(line)):
            if move[1].upper() == "FROM":
                before = move[2].strip()
            elif before is not None:
                renames.append(Delta("renamed", move[2].strip(), "", before))
                before = None
    return renames


def _plain_lines(text: str) -> list[str]:
    return [line for line, is_plain in _lines(text) if is_plain]


def _lines(text: str) -> list[tuple[str, bool]]:
    """Lines, and whether they are outside of code blocks (CommonMark section 4.5)."""
    lines: list[tuple[str, bool]] = []
    fence: str | None = None
    for line in text.splitlines():
        if len(line) > MAX_LINE_CHARS:  # no heading; and matching takes its square
            lines.append((line, False))
            continue
        mark = _FENCE.match(line)
        if fence is None:
            fence = mark[1] if mark else None
            lines.append((line, fence is None))
        else:
            lines.append((line, False))
            if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = None
    return lines
