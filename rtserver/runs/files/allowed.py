"""Which files of a proposal may be written: the one place of this rule.

Whoever writes a proposal's folder is obeyed by the tools that read it. So only OpenSpec's own
documents are written, and what the change's schema names: never a file that starts with a dot,
which is where settings and hooks are, nor one that some file system takes for another.
"""

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rtserver.runs.files.paths import UnsafePathError, path_parts

STANDARD = ("proposal.md", "design.md", "tasks.md", "specs/**/*.md")
"""What OpenSpec's own schema names, and what may be written whatever the change's schema is."""

_ANY_DEPTH = "**"
# Names of devices on Windows, whatever their ending is.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])\s*(?:\.|$)", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_SHORT_NAME = re.compile(r"~[0-9]")  # FAT and NTFS find `.git` as `GIT~1` too
# What is drawn as nothing, and not a control or format character.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_LIKE_LATIN = {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"}


@dataclass(frozen=True, slots=True)
class AllowedPaths:
    """What may be written in one proposal's folder.

    Attributes:
        proposal_id: whose folder.
        patterns: beyond STANDARD, what the change's schema names, each by its parts; `**` is any
            number of folders, and the wildcards of `fnmatch` are within one name.
        note: what people should know of the schema: its name, or why it is not followed.
    """

    proposal_id: str = ""
    patterns: tuple[tuple[str, ...], ...] = ()
    note: str = ""

    def parts(self, path: str) -> tuple[str, ...]:
        """The parts of a path, relative to the proposal's folder, that may be written.

        Raises:
            UnsafePathError: it may not.
        """
        parts = path_parts(path)
        for part in parts:
            problem = _problem(part)
            if problem:
                raise UnsafePathError(path, problem)
        if not any(_matches(parts, pattern) for pattern in (*_STANDARD_PATTERNS, *self.patterns)):
            raise UnsafePathError(
                path, f"is not one that may be written: {', '.join(self.names())}{self._noted()}"
            )
        return parts

    def meant(self, path: str) -> str:
        """The path that is meant, in its plainest form, where it was given from further up.

        A model may name a file from the workspace's root, as tools print it.

        Raises:
            UnsafePathError: none that may be written is meant.
        """
        try:
            return "/".join(self.parts(path))
        except UnsafePathError:
            parts = path_parts(path)
            for above in (("openspec", "changes"), ("changes",), ()):
                start = (*above, self.proposal_id)
                if parts[: len(start)] == start and len(parts) > len(start):
                    return "/".join(self.parts("/".join(parts[len(start) :])))
            raise

    def names(self) -> list[str]:
        """What may be written, for people and models."""
        return list(dict.fromkeys((*STANDARD, *("/".join(pattern) for pattern in self.patterns))))

    def _noted(self) -> str:
        return f" ({self.note})" if self.note else ""


def pattern_parts(pattern: str) -> tuple[str, ...] | None:
    """A schema's path or glob by its parts; None where it can't be followed.

    A name that starts with a dot, leads upwards, or is absolute is never followed.
    """
    if "\\" in pattern or not pattern.isprintable():
        return None
    parts = tuple(part for part in pattern.split("/") if part != ".")
    if not 0 < len(parts) <= 16 or any(part == "" or part.startswith(".") for part in parts):
        return None
    return parts


def folded(part: str) -> str:
    """What a name has in common with those that a file system may take for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", part).casefold())


def _problem(part: str) -> str:
    """What is wrong with one name; empty where nothing is."""
    if part.startswith("."):
        return "has a part that starts with a dot"
    if part != part.strip() or part.endswith("."):
        return "has a part with a blank or a dot at its end"
    if _FORBIDDEN.search(part) or _SHORT_NAME.search(part) or _DEVICE.match(part):
        return "has a part that means something else on other systems"
    if unicodedata.normalize("NFKC", part) != part or _INVISIBLE.search(part) or _is_mixed(part):
        return "has characters that look like others, or like nothing"
    return ""


def _is_mixed(part: str) -> bool:
    """Whether a name mixes Latin letters with those of a script that look like them."""
    stem = part.rpartition(".")[0] or part
    scripts = {unicodedata.name(char, "").partition(" ")[0] for char in stem if char.isalpha()}
    return "LATIN" in scripts and bool(scripts & _LIKE_LATIN)


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a glob has a path, all wildcards at once, so that none is tried again."""
    reached = _past_any_depth({0}, pattern)
    for part in parts:
        following = {
            at if pattern[at] == _ANY_DEPTH else at + 1
            for at in reached
            if at < len(pattern) and (pattern[at] == _ANY_DEPTH or fnmatchcase(part, pattern[at]))
        }
        reached = _past_any_depth(following, pattern)
    return len(pattern) in reached


def _past_any_depth(reached: set[int], pattern: tuple[str, ...]) -> set[int]:
    for at, part in enumerate(pattern):
        if part == _ANY_DEPTH and at in reached:
            reached.add(at + 1)
    return reached


_STANDARD_PATTERNS = tuple(tuple(pattern.split("/")) for pattern in STANDARD)
