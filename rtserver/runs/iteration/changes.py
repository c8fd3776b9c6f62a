"""From a model's reply to the files that are to be written."""

from dataclasses import dataclass

from rtserver.runs.files.allowed import AllowedPaths
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import ProposalFiles, WorkspaceError
from rtserver.runs.files.staging import NewFile
from rtserver.runs.iteration.prompt import Prompt
from rtserver.runs.iteration.reply_files import BadReplyError, ReplyFile, parse_reply

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reply changes.

    Attributes:
        files: the files that differ, by path.
        texts: by path, the text before (empty for a new file) and after.
    """

    files: list[NewFile]
    texts: dict[str, tuple[str, str]]

    @property
    def paths(self) -> list[str]:
        """The paths of the files, in order."""
        return [file.path for file in self.files]


def changes_of(reply: str, files: ProposalFiles, prompt: Prompt) -> Changes:
    """Compare a reply with the files as they were read.

    Raises:
        BadReplyError: see `parse_reply`; or a file is given twice and not the same, or a name is
            both a file's and a folder's.
        UnsafePathError: a path may not be written (see `AllowedPaths`), or is a link.
        WorkspaceError: a file is replaced that the model has not seen.
    """
    changed: list[NewFile] = []
    texts: dict[str, tuple[str, str]] = {}
    for path, text in sorted(_by_path(parse_reply(reply, prompt.nonce), files.allowed).items()):
        if path in files.odd:
            raise UnsafePathError(path, "is a link, or no plain file")
        if path in prompt.left_out:
            raise WorkspaceError(
                "not_shown",
                f"The reply replaces {path}, which the model was not shown: "
                f"{prompt.left_out[path]}",
            )
        seen = files.files.get(path)
        after = _with_line_ends_of("" if seen is None else seen.text, text)
        if seen is not None and seen.text == after:
            continue
        digest = None if seen is None else seen.digest
        changed.append(NewFile(path, digest, after.encode("utf-8")))
        texts[path] = ("" if seen is None else seen.text, after)
    return Changes(changed, texts)


def _by_path(given: list[ReplyFile], allowed: AllowedPaths) -> dict[str, str]:
    texts: dict[str, str] = {}
    for file in given:
        path = allowed.meant(file.path)
        if texts.setdefault(path, file.text) != file.text:
            raise BadReplyError(
                "bad_reply",
                f"The reply gives {path} twice, and not the same: which one is meant can't be "
                "said. Nothing was written; start it again",
            )
    for path in texts:
        parts = path.split("/")
        if any("/".join(parts[:depth]) in texts for depth in range(1, len(parts))):
            raise BadReplyError(
                "bad_reply", "The reply uses a name both for a file and for a folder"
            )
    return texts


def _with_line_ends_of(before: str, text: str) -> str:
    """A text with the line ends, and the byte order mark or not, of the one that it replaces.

    Which of them a model writes is chance, and would show every line as changed.
    """
    plain = text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n")
    if "\r\n" in before:
        plain = plain.replace("\n", "\r\n")
    return _BYTE_ORDER_MARK + plain if before.startswith(_BYTE_ORDER_MARK) else plain
