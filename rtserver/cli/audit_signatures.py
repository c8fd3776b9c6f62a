"""What `audit verify` needs for signed checkpoints: the keys, and those that were kept outside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rtserver.audit.checkpoints.key_file import read_key_file
from rtserver.audit.checkpoints.note import MAX_NOTE_BYTES, NoteError, VerifierKey
from rtserver.audit.checkpoints.outside import SUFFIX
from rtserver.audit.verify.signatures import OutsideCheckpoint, Signatures
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.positions import Position

MAX_KEYS_BYTES = 64 * 1024


@dataclass(slots=True)
class KnownCheckpoints:
    """What is known of a server's checkpoints.

    Attributes:
        keys: whose signatures count; none: nothing is looked at.
        outside: what was kept outside and is signed.
        bad: what was kept outside and is not: file and reason.
    """

    keys: list[VerifierKey] = field(default_factory=list)
    outside: list[OutsideCheckpoint] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)

    def of(self, log_name: str, *, trusted_upto: Position | None = None) -> Signatures | None:
        """What a log's records are held against; None without a key."""
        if not self.keys:
            return None
        return Signatures(log_name, self.keys, self.outside, trusted_upto=trusted_upto)


def known_checkpoints(
    settings: Settings, key_files: Sequence[Path], places: Sequence[Path]
) -> KnownCheckpoints:
    """Read keys and checkpoints.

    Args:
        settings: of the server; its own key and directory count where none are given.
        key_files: files with public keys, a line each.
        places: files with checkpoints, and directories of them.

    Raises:
        OperatorError: a key can't be read, or there are checkpoints and no key.
        OSError: a file can't be read.
    """
    known = KnownCheckpoints()
    for path in key_files:
        known.keys += _read_keys(path)
    if not key_files and settings.audit_signing_key_file is not None:
        known.keys.append(read_key_file(settings.audit_signing_key_file).public)
    if not known.keys:
        if places:
            raise OperatorError("checkpoints can't be checked without a key: give --keys")
        return known
    kept = settings.audit_checkpoints_dir
    for path in _notes(places or ([kept] if kept is not None and kept.is_dir() else [])):
        with path.open("rb") as file:
            content = file.read(MAX_NOTE_BYTES + 1)
        try:
            known.outside.append(OutsideCheckpoint.open(path.name, content, known.keys))
        except ValueError as error:
            known.bad.append((path.name, str(error)))
    return known


def _read_keys(path: Path) -> Iterator[VerifierKey]:
    with path.open("rb") as file:
        content = file.read(MAX_KEYS_BYTES)
    for line in content.decode(errors="replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                yield VerifierKey.parse(text)
            except NoteError as error:
                raise OperatorError(f"{path} holds no public keys: {error}") from None


def _notes(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.iterdir() if path.suffix == SUFFIX)
        else:
            yield place
