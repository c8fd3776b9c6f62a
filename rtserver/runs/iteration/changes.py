"""From a model's reply to the files that are to be written."""

from dataclasses import dataclass

from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import ProposalFiles, WorkspaceError
from rtserver.runs.files.staging import NewFile
from rtserver.runs.iteration.prompt import Prompt
from rtserver.runs.iteration.reply_files import parse_reply


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
        BadReplyError: see `parse_reply`.
        UnsafePathError: a path leaves the proposal's folder, or is a link.
        WorkspaceError: a file is replaced that the model has not seen.
    """
    changed: list[NewFile] = []
    texts: dict[str, tuple[str, str]] = {}
    for file in parse_reply(reply):
        if file.path in files.odd:
            raise UnsafePathError(file.path, "is a link, or no plain file")
        if file.path in prompt.left_out:
            raise WorkspaceError(
                "not_shown",
                f"The reply replaces {file.path}, which the model was not shown: "
                f"{prompt.left_out[file.path]}",
            )
        seen = files.files.get(file.path)
        if seen is not None and seen.text == file.text:
            continue
        content = file.text.encode("utf-8")
        changed.append(NewFile(file.path, None if seen is None else seen.digest, content))
        texts[file.path] = ("" if seen is None else seen.text, file.text)
    return Changes(changed, texts)
