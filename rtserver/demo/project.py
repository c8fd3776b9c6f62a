"""The demo project: real OpenSpec proposals of a small library, to try the server out with.

Most of it lies as files in `demo/`. One proposal is generated when the demo is installed, since
it is large on purpose: the real validator takes several seconds over it and then prints hundreds
of findings, which the demo passes on slowly (`slowly.py`), so that there is something to watch, to
cancel and to reconnect to.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from rtserver.lib.server_root import SERVER_ROOT

DEMO_PROJECT_ID = "demo"
"""The project's id, and the name of its folder in the workspace root."""

SLOW_PROPOSAL_ID = "recode-branch-rules"
"""The proposal that is generated, and slow to validate."""

SLOWLY = (sys.executable, "-I", str(Path(__file__).with_name("slowly.py")), "20")
"""What runs a command so that its lines can be watched as they come."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DemoProposal:
    """What the server keeps about a demo proposal besides its files.

    Attributes:
        id: name of the OpenSpec change.
        title: for people.
        author: user id.
        reviewers: user ids.
    """

    id: str
    title: str
    author: str
    reviewers: tuple[str, ...]


_PROPOSALS = (
    DemoProposal("add-hold-queue", "A fair queue for reserved titles", "ada", ("ben", "cleo")),
    DemoProposal("waive-late-fees", "Waive late fees for the young", "ben", ("ada",)),
    DemoProposal(
        "rename-patron-to-member", 'Say "member" instead of "patron"', "cleo", ("ada", "ben")
    ),
    DemoProposal(
        SLOW_PROPOSAL_ID, "One code for the rules of every branch", "ada", ("ben", "cleo")
    ),
)


def install_demo(workspace_root: Path, *, source: Path | None = None) -> list[DemoProposal]:
    """Put the demo project into a workspace root, unless there is one already.

    The folder appears whole or not at all, so several workers may do this at the same time. A
    folder that is there is left as it is, whatever people have made of it.

    Args:
        workspace_root: folder of all workspaces; made if absent.
        source: the folder with the demo's files; the server's own unless given.

    Returns:
        The proposals of the demo whose folders are there now.

    Raises:
        OSError: The files could not be read or written.
    """
    target = workspace_root / DEMO_PROJECT_ID
    if not target.exists():
        workspace_root.mkdir(parents=True, exist_ok=True)
        _install(source or SERVER_ROOT / "demo", target)
    changes = target / "openspec" / "changes"
    return [proposal for proposal in _PROPOSALS if (changes / proposal.id).is_dir()]


def _install(source: Path, target: Path) -> None:
    # A project id never begins with a dot, so nobody can address the folder while it is made.
    with tempfile.TemporaryDirectory(prefix=".demo-", dir=target.parent) as scratch:
        staged = Path(scratch) / target.name
        shutil.copytree(source, staged)
        _write_slow_proposal(staged / "openspec")
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            return  # another worker was first, with the same files
    _log.info("demo_installed", path=str(target))


# How large the slow proposal is. The validator compares every renamed requirement with every
# removed one, so its time goes with the product. On one idle core it takes about four seconds over
# 1,800 of each, and as long again for the report.
_BRANCHES = (
    "Ashgrove", "Bridge End", "Canal Row", "Dovecote", "Eastfield", "Foundry Lane",
    "Glebe Park", "Harbour", "Ivy Bank", "Kilnside", "Limekiln", "Main House",
)  # fmt: skip
_MATTERS = (
    "opening hours", "loan period", "renewals", "reservations", "collection shelf", "book box",
    "quiet room", "children's corner", "group visits", "school cards", "games", "films",
    "newspapers", "interlibrary loan", "lost copies", "damaged copies", "lockers", "printing",
    "photography", "exhibitions", "donations", "volunteers", "lost property", "first aid", "keys",
)  # fmt: skip
_OLD_RULES_A_MATTER = 6
_NEW_RULES_A_MATTER = 2


def _write_slow_proposal(openspec: Path) -> None:
    change = openspec / "changes" / SLOW_PROPOSAL_ID
    files = {
        openspec / "specs" / "branch-rules" / "spec.md": _old_rules(),
        change / "proposal.md": _PROPOSAL,
        change / "tasks.md": _TASKS,
        change / "specs" / "branch-rules" / "spec.md": _delta(),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _numbered_rules(kind: str) -> Iterator[tuple[str, str, str, int]]:
    """Old name, branch, matter and number of every old rule of a kind."""
    for branch_number, branch in enumerate(_BRANCHES, start=1):
        for matter_number, matter in enumerate(_MATTERS, start=1):
            for number in range(1, _OLD_RULES_A_MATTER + 1):
                code = f"{kind}{branch_number:02d}{matter_number:02d}{number}"
                yield f"{code} {branch} {matter}", branch, matter, number


def _old_rules() -> str:
    lines = [
        "# branch-rules Specification", "", "## Purpose", "",
        "Keeps the rules of the house of every branch in one place, under the codes that each",
        "branch gave them over the years.", "", "## Requirements", "",
    ]  # fmt: skip
    for kind in "RX":
        for name, branch, matter, number in _numbered_rules(kind):
            lines += [
                f"### Requirement: {name}", "",
                f"{branch} SHALL follow paragraph {number} of its rules on {matter}.", "",
                f"#### Scenario: Paragraph {number} applies", "",
                f"- **WHEN** a visitor of {branch} asks about {matter}",
                f"- **THEN** the counter answers by paragraph {number}", "",
            ]  # fmt: skip
    return "\n".join(lines)


def _delta() -> str:
    lines = ["# branch-rules Delta", "", "## ADDED Requirements", ""]
    for branch in _BRANCHES:
        for matter in _MATTERS:
            for number in range(1, _NEW_RULES_A_MATTER + 1):
                lines += _new_rule(branch, matter, number)
    lines += ["## REMOVED Requirements", ""]
    for name, branch, _, number in _numbered_rules("X"):
        lines += [
            f"### Requirement: {name}", "",
            f"**Reason**: {branch} keeps it twice; paragraph {number} says the same.",
            "**Migration**: Look it up under its new code.", "",
        ]  # fmt: skip
    lines += ["## RENAMED Requirements", ""]
    for name, branch, matter, number in _numbered_rules("R"):
        lines += [
            f"- FROM: `### Requirement: {name}`",
            f"- TO: `### Requirement: {branch}, {matter}, paragraph {number}`",
            "",
        ]
    return "\n".join(lines)


def _new_rule(branch: str, matter: str, number: int) -> list[str]:
    """A new rule; the first of each matter has no scenario, and short ones lack their SHALL."""
    verb = "SHALL follow" if len(matter) > len("printing") else "follows"
    rule = [
        f"### Requirement: {branch}, {matter}, house rule {number}", "",
        f"{branch} {verb} house rule {number} of the main house on {matter}.", "",
    ]  # fmt: skip
    if number > 1:
        rule += [
            "#### Scenario: A visitor asks", "",
            f"- **WHEN** a visitor of {branch} asks about {matter}",
            f"- **THEN** the counter answers by house rule {number}", "",
        ]  # fmt: skip
    return rule


_PROPOSAL = """\
# One code for the rules of every branch

## Why

Twelve branches have given their rules of the house codes of their own, and many rules are written
down twice. Nobody can say which rule a code means without knowing the branch it comes from, and the
counter spends its mornings finding out.

## What Changes

- Every rule is named by branch, matter and paragraph.
- Rules that a branch keeps twice are removed.
- The house rules of the main house hold at every branch.

## Capabilities

### Modified Capabilities

- `branch-rules`: rules renamed, duplicates removed, house rules added

## Impact

- Notices at every branch are printed anew.
"""

_TASKS = """\
# Tasks

## 1. Codes

- [x] 1.1 List the codes of every branch
- [ ] 1.2 Give every rule its new name

## 2. Notices

- [ ] 2.1 Print the notices anew
"""
