"""Paths that a language model or a journal gives for files of a proposal, checked as text."""

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 240
MAX_DEPTH = 16


class UnsafePathError(Exception):
    """A path that does not name a plain file below the proposal's folder.

    Attributes:
        path: as it was given, escaped and shortened, fit to be shown.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = ascii(path if len(path) <= 120 else path[:120] + "...")
        super().__init__(f"The path {self.path} {problem}")


def path_parts(path: str) -> tuple[str, ...]:
    """Split a relative path with slashes into its parts; `.` and empty parts are dropped.

    This looks at the text alone. That no part is a link has to be seen when it is opened.

    Raises:
        UnsafePathError: it is absolute, has a `..`, names nothing, or has parts that no
            well-meant path has (backslashes, control characters, exceeding length).
    """
    if path.startswith("/"):
        raise UnsafePathError(path, "is absolute")
    if not path.isprintable() or "\\" in path:
        raise UnsafePathError(path, "has a backslash or a control character in it")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise UnsafePathError(path, "leads out of the proposal's folder")
    if not parts or path.endswith("/"):
        raise UnsafePathError(path, "names no file")
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    if len(parts) > MAX_DEPTH or max(sizes) > MAX_PART_BYTES or sum(sizes) > MAX_PATH_BYTES:
        raise UnsafePathError(path, "is too long")
    return parts
