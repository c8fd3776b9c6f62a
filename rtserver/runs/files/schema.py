"""Which files the schema of an OpenSpec change names.

OpenSpec 1.x takes the schema's name from `schema` in the change's `.openspec.yaml`, or else in
`openspec/config.yaml`, and its `schema.yaml` from the first of these that has a folder of that
name: the workspace's `openspec/schemas`, the account's own, the package's. Its `artifacts` say by
`generates` which file, or which files by a glob, each of them is.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from rtserver.lib.plain_yaml import PlainYamlError, read_plain_yaml
from rtserver.runs.files.allowed import AllowedPaths, pattern_parts
from rtserver.runs.files.folders import open_file, open_folder, open_root, read_bytes
from rtserver.runs.files.paths import UnsafePathError

MAX_BYTES = 128 * 1024
MAX_ARTIFACTS = 100
MAX_PATTERNS = 300
MAX_PATTERN_CHARS = 400

_DEFAULT = "spec-driven"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = "schema.yaml"
_BRACES = re.compile(r"\{([^{}]*)\}")


class _SchemaError(Exception):
    """A schema can't be followed; the message ends a sentence for people."""


def shared_schema_folders(openspec: Path | None) -> tuple[Path, ...]:
    """Where schemas are that all workspaces share.

    Args:
        openspec: the command of OpenSpec; None where there is none.
    """
    # Validators get no XDG_DATA_HOME, so for them it is always this one.
    own = Path(os.environ.get("HOME", "/"), ".local", "share", "openspec", "schemas")
    if openspec is None:
        return (own,)
    # node_modules/.bin/openspec is a link to PACKAGE/bin/openspec.js.
    return own, openspec.resolve().parents[1] / "schemas"


def allowed_paths(
    proposal_id: str, *, workspace: int, folder: int, shared: Sequence[Path]
) -> AllowedPaths:
    """What may be written in a proposal's folder, as its schema is now.

    A schema that can't be read, or is more than a plain one, allows nothing more than OpenSpec's
    own documents.

    Args:
        proposal_id: whose folder.
        workspace: the project's open folder.
        folder: the proposal's open folder.
        shared: see `shared_schema_folders`.

    Raises:
        OSError: what is there can't be read now.
    """
    try:
        name = _name_of_schema(workspace, folder)
        note = "" if name == _DEFAULT else f"its schema is {name}"
        patterns = _patterns(_schema(name, workspace, shared))
    except (_SchemaError, PlainYamlError) as error:
        return AllowedPaths(proposal_id, (), f"its schema is not followed, since {error}")
    return AllowedPaths(proposal_id, patterns, note)


def _name_of_schema(workspace: int, folder: int) -> str:
    places = (
        (folder, (".openspec.yaml",)),
        (workspace, ("openspec", "config.yaml")),
        (workspace, ("openspec", "config.yml")),
    )
    for place, path in places:
        found = _read(path, dir_fd=place)
        content = None if found is None else read_plain_yaml(found)
        name = content.get("schema") if isinstance(content, dict) else None
        if name is None:
            continue
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _SchemaError("its name is none")
        return re.sub(r"\.ya?ml$", "", name)
    return _DEFAULT


def _schema(name: str, workspace: int, shared: Sequence[Path]) -> object:
    found = _read(("openspec", "schemas", name, _FILE), dir_fd=workspace)
    for schemas in shared:
        if found is None:
            try:
                with open_root(schemas / name) as place:
                    found = _read((_FILE,), dir_fd=place)
            except OSError:
                continue  # not there, or not for this account's eyes
    if found is not None:
        return read_plain_yaml(found)
    if name == _DEFAULT:
        return None
    raise _SchemaError(f"there is none of the name {name}")


def _read(path: Sequence[str], *, dir_fd: int) -> bytes | None:
    """A small file; None where it is not there."""
    *above, name = path
    try:
        with open_folder(above, dir_fd=dir_fd) as parent, open_file(name, dir_fd=parent) as fd:
            content = read_bytes(fd, MAX_BYTES)
    except FileNotFoundError:
        return None
    except UnsafePathError as error:
        raise _SchemaError(f"{'/'.join(path)} is a link, or no plain file") from error
    except PermissionError as error:
        raise _SchemaError(f"{'/'.join(path)} may not be read") from error
    if content is None:
        raise _SchemaError(f"{'/'.join(path)} has more than {MAX_BYTES} bytes")
    return content


def _patterns(schema: object) -> tuple[tuple[str, ...], ...]:
    artifacts = schema.get("artifacts") if isinstance(schema, dict) else None
    named = [
        artifact.get("generates")
        for artifact in (artifacts if isinstance(artifacts, list) else [])[:MAX_ARTIFACTS]
        if isinstance(artifact, dict)
    ]
    patterns: dict[tuple[str, ...], None] = {}
    for pattern in named:
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS:
            continue
        for plain in _without_braces(pattern):
            parts = pattern_parts(plain)
            if parts is not None and len(patterns) < MAX_PATTERNS:
                patterns[parts] = None
    return tuple(patterns)


def _without_braces(pattern: str) -> list[str]:
    """A glob for each choice that `{one,other}` leaves; those without a comma are literal."""
    plain: list[str] = []
    waiting = [pattern]
    while waiting and len(plain) + len(waiting) <= MAX_PATTERNS:
        one = waiting.pop()
        choice = next((found for found in _BRACES.finditer(one) if "," in found[1]), None)
        if choice is None:
            plain.append(one)
        else:
            waiting += [
                one[: choice.start()] + word + one[choice.end() :] for word in choice[1].split(",")
            ]
    return plain
