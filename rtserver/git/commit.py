"""A commit that replaces some folders and files of a branch's tree, and how git is told of it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rtserver.model.texts import printable

PLAIN, EXECUTABLE = "100644", "100755"
MAIL_DOMAIN = "users.rtserver.invalid"
"""RFC 2606, section 2: nobody can have such an address."""
MAX_NAME_CHARS = 200
MAX_LOCAL_PART_CHARS = 64  # RFC 5321, section 4.5.3.1.1
MARK = ":1"

_NO_NAME = re.compile(r"[<>\\]")
_NO_LOCAL_PART = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Person:
    """Whose commit it is.

    Attributes:
        name: as git shows it.
        mail: made up, since git asks for one.
    """

    name: str
    mail: str

    @classmethod
    def of(cls, user_id: str | None) -> "Person":
        """A user, or the server itself for None. Nothing of the id can end the line it is on."""
        shown = _NO_NAME.sub("", printable(user_id or "")).strip(" .,:;\"'")[:MAX_NAME_CHARS]
        local = _NO_LOCAL_PART.sub("-", user_id or "").strip("-.")[:MAX_LOCAL_PART_CHARS]
        return cls(shown or "rtserver", f"{local or 'rtserver'}@{MAIL_DOMAIN}")


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be committed. Paths are the tree's, with slashes.

    Attributes:
        author: whose change it is.
        at: when it was made.
        message: what it says.
        files: by path the content, or None where the file is to be removed.
        folders: what is in them and not in `files` is removed too.
    """

    author: Person
    at: datetime
    message: str
    files: Mapping[str, bytes | None]
    folders: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tree or an index has under a path."""

    mode: str
    oid: str


Tree = dict[str, Entry]


def entries(listed: bytes, *, oid_at: int) -> Tree:
    """What `ls-tree -z` (`oid_at` 2) or `ls-files -s -z` (1) printed, by path.

    Of an index only what is merged; a path that is no UTF-8 keeps its bytes as surrogates.
    """
    found: Tree = {}
    for line in listed.split(b"\0"):
        fields, tab, path = line.partition(b"\t")
        words = fields.decode("ascii", "replace").split()
        if tab and (oid_at == 2 or words[2] == "0"):
            found[path.decode("utf-8", "surrogateescape")] = Entry(words[0], words[oid_at])
    return found


def blob_oid(content: bytes, like: str) -> str:
    """The id that git gives a content, by the hash of the repository that `like` is an id of."""
    digest = hashlib.sha1(usedforsecurity=False) if len(like) == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()


def changes(commit: Commit, tree: Tree, parent: str) -> dict[str, Entry | None]:
    """By path what the commit does to a tree; None removes. Empty: it is so already.

    A link or a module of the tree stays, since it is no file of ours. The right to execute stays.

    Args:
        commit: what is wanted.
        tree: what is there, at least of the commit's folders and files.
        parent: the id of the commit with that tree.
    """
    changed: dict[str, Entry | None] = {}
    for path, content in commit.files.items():
        there = tree.get(path)
        if content is None:
            if there is not None:
                changed[path] = None
        elif is_committable(path):
            mode = EXECUTABLE if there is not None and there.mode == EXECUTABLE else PLAIN
            entry = Entry(mode, blob_oid(content, parent))
            if entry != there:
                changed[path] = entry
    for path, there in tree.items():
        inside = any(path.startswith(f"{folder}/") for folder in commit.folders)
        if inside and path not in commit.files and there.mode in (PLAIN, EXECUTABLE):
            changed[path] = None
    return changed


def is_committable(path: str) -> bool:
    """Whether no part of a path is taken for a repository's own folder, on whatever system.

    Git itself refuses such paths only since its versions of 2025 where they come this way.
    """
    return not any(_is_git_folder(part) for part in path.split("/"))


def _is_git_folder(name: str) -> bool:
    # HFS+ ignores some characters, NTFS what stands at the end and in streams.
    plain = name.encode("ascii", "ignore").decode().partition(":")[0].rstrip(" .").casefold()
    return plain in (".git", "git~1")


def import_stream(
    commit: Commit,
    changed: Mapping[str, Entry | None],
    *,
    branch: str,
    parent: str,
    now: datetime,
) -> Iterator[bytes]:
    """What `git fast-import` is to read: the commit, and that its id is to be printed.

    Args:
        commit: see there.
        changed: see `changes`.
        branch: its whole name, `refs/heads/main`.
        parent: what the branch is at; where it has moved git refuses.
        now: the time of committing.
    """
    committer = Person.of(None)
    message = printable(commit.message, "\n").encode("utf-8", "replace")
    yield b"feature done\n"
    yield f"commit {branch}\nmark {MARK}\n".encode("utf-8", "surrogateescape")
    yield f"author {commit.author.name} <{commit.author.mail}> {_time(commit.at)}\n".encode()
    yield f"committer {committer.name} <{committer.mail}> {_time(now)}\n".encode()
    yield b"data %d\n%s\nfrom %s\n" % (len(message), message, parent.encode())
    # What is removed goes first: a folder may stand where a file was.
    for path in (path for path, entry in changed.items() if entry is None):
        yield b"D %s\n" % _quoted(path)
    for path, entry in changed.items():
        content = commit.files.get(path)
        if entry is not None and content is not None:
            yield b"M %s inline %s\n" % (entry.mode.encode(), _quoted(path))
            yield b"data %d\n%s\n" % (len(content), content)
    yield f"get-mark {MARK}\ndone\n".encode()


def index_lines(changed: Mapping[str, Entry | None]) -> bytes:
    """What `git update-index -z --index-info` is to read."""
    none = Entry("0", "0" * 40)
    return b"".join(
        f"{(entry or none).mode} {(entry or none).oid} 0\t{path}\0".encode(
            "utf-8", "surrogateescape"
        )
        for path, entry in sorted(changed.items(), key=lambda item: item[1] is not None)
    )


def _time(moment: datetime) -> str:
    return f"{int(moment.timestamp())} +0000"


def _quoted(path: str) -> bytes:
    raw = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
