"""`audit verify`: the operator has the audit log and its archives checked for tampering."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from rtserver.app.operator.logs import AuditAccess, operator_audit
from rtserver.audit.archive.archiver import RESTORED
from rtserver.audit.archive.directory import STATE_FILE
from rtserver.audit.archive.file import GAP_TYPE, TornFileError, archive_files, read_lines
from rtserver.audit.record.chain import Head
from rtserver.audit.verify.findings import FindingKind, Report
from rtserver.audit.verify.seal import Claim, SealBrokenError, claim_of, read_line
from rtserver.audit.verify.signatures import Signatures
from rtserver.audit.verify.verifier import Verifier
from rtserver.cli.audit_signatures import KnownCheckpoints, known_checkpoints
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.moments import rfc3339
from rtserver.model.positions import Position

GZIP_MAGIC = b"\x1f\x8b"
CLOCKS_DIFFER_S = 60.0
MAX_LINE_BYTES = 1024 * 1024
UNDER_WAY_S = 30.0
"""So long it may take until what was stored is known to another worker."""
TURN_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class Verification:
    """What the command line asks for.

    Attributes:
        paths: archives: files, and directories of them.
        offline: look at the archives only, not at MongoDB.
        against: the report of an earlier verification, as `--json` printed it.
        as_json: print a report for programs.
        keys: files with public keys of checkpoints; none: that of the settings.
        checkpoints: what was kept outside: files, and directories of them; none: the settings'.
        prove: print a proof of this record, where all is clean, rather than the report.
    """

    paths: Sequence[Path] = ()
    offline: bool = False
    against: Path | None = None
    as_json: bool = False
    keys: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    prove: Position | None = None


class _Gap(msgspec.Struct):
    type: str
    epoch: str
    reason: str = ""
    first: int | None = None
    last: int | None = None
    ts: str = ""


class _StatedHead(msgspec.Struct):
    chain: str
    n: int
    hash: str
    id: str | None = None


class _EarlierReport(msgspec.Struct):
    chains: list[_StatedHead]
    strangers: "_EarlierReport | None" = None


async def verify(settings: Settings, wanted: Verification) -> int:
    """Verify, and print what came out; 0 where there is no trace of tampering, else 1.

    Raises:
        OperatorError, StoreUnavailableError: something can't be read.
    """
    earlier = _earlier(wanted.against)
    # First what was said outside, then what is there: it only becomes more.
    signed = known_checkpoints(settings, wanted.keys, wanted.checkpoints)
    of_strangers: Report | None = None
    if wanted.offline:
        archives = _Archives(wanted.paths)
        signatures = signed.of("audit")
        verifier = Verifier(
            _claims(earlier, wanted.against), signatures=signatures, prove=wanted.prove
        )
        await archives.read(verifier)
        archives.end(verifier, signatures)
        _tell_of_bad(verifier, signed)
        report = verifier.finish()
    else:
        async with operator_audit(settings) as (access, strangers):
            archives = _Archives(wanted.paths)
            await archives.ask(access)
            head = Position(access.log.epoch, await access.log.head(AUDIT_PROJECT))
            signatures = signed.of("audit", trusted_upto=head)
            verifier = Verifier(
                _claims(earlier, wanted.against), signatures=signatures, prove=wanted.prove
            )
            await archives.read(verifier)
            _tell_of_bad(verifier, signed)
            report = await read_log(verifier, access, archives, signatures)
            if strangers is not None:
                known = None if earlier is None else earlier.strangers
                other = Verifier(
                    _claims(known, wanted.against),
                    resized_bytes=verifier.resized_bytes["strangers"],
                    signatures=signed.of("strangers"),
                )
                of_strangers = await read_log(other, strangers)
    is_clean = report.is_clean and (of_strangers is None or of_strangers.is_clean)
    if wanted.prove is not None and report.is_clean:
        _print_proof(verifier)
        return 0
    _print(report, of_strangers, as_json=wanted.as_json)
    return 0 if is_clean else 1


def _print_proof(verifier: Verifier) -> None:
    try:
        sys.stdout.write(verifier.proof())
    except LookupError as error:
        raise OperatorError(f"there is no proof: {error.args[0]}") from None


def _tell_of_bad(verifier: Verifier, signed: KnownCheckpoints) -> None:
    for name, why in signed.bad:
        verifier.find(FindingKind.CHANGED, name, f"it was kept as a checkpoint: {why}")


def _print(report: Report, of_strangers: Report | None, *, as_json: bool) -> None:
    if as_json:
        fields = report.to_json()
        if of_strangers is not None:
            fields["strangers"] = of_strangers.to_json()
            fields["clean"] = report.is_clean and of_strangers.is_clean
        sys.stdout.write(json.dumps(fields) + "\n")
    else:
        lines = list(report.lines())
        if of_strangers is not None:
            lines += ["", "The log of strangers:", *of_strangers.lines()]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _earlier(path: Path | None) -> _EarlierReport | None:
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_EarlierReport)
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is no report of `audit verify --json`: {error}") from None


def _claims(earlier: _EarlierReport | None, path: Path | None) -> list[Claim]:
    """What an earlier report says of a log."""
    if earlier is None or path is None:
        return []
    by = f"the report {path.name}"
    claims = (claim_of(one.chain, Head(one.n, one.hash, one.id), by) for one in earlier.chains)
    return [claim for claim in claims if claim is not None]


# Archives


class _Archives:
    """The archives to read, and how far each went."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stated: dict[Path, Position | None] = {}

    async def ask(self, access: AuditAccess) -> None:
        """Ask first how far they went, then what is there: it only becomes more."""
        for path in self._paths:
            archive_id = _archive_id(path)
            if archive_id is not None:
                self._stated[path] = await access.buffer.archived(archive_id)

    async def read(self, verifier: Verifier) -> None:
        """Read all of them."""
        for path, source in _files(self._paths):
            await asyncio.to_thread(_read_archive, verifier, path, source)

    def end(self, verifier: Verifier, signatures: Signatures | None) -> None:
        """Look whether they are as long as is said of them, now that all of that was read."""
        for path in self._paths:
            stated, archive_id = self._stated.get(path), _archive_id(path)
            if signatures is not None and archive_id is not None:
                signed = signatures.archived(archive_id)
                if stated is None or (signed is not None and signed.seq > stated.seq):
                    stated = signed
            verifier.ends(str(path), stated)


def _archive_id(path: Path) -> str | None:
    try:
        found = msgspec.json.decode((path / STATE_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None  # a copy, or a part of one
    return str(found.get("archive_id")) if isinstance(found, dict) else None


def _files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files to read, in the order of the log, each with the argument that it is from."""
    found: list[tuple[str, int, Path, str]] = []
    for number, path in enumerate(paths):
        files = archive_files(path) if path.is_dir() else [path]
        # A directory is one source, without holes; so is a file by itself.
        found += [(file.name, number, file, str(path)) for file in files]
    return [(file, source) for _, _, file, source in sorted(found)]


def _read_archive(verifier: Verifier, path: Path, source: str) -> None:
    verifier.begin(source)
    try:
        for number, line in enumerate(_lines(path), start=1):
            _take_line(verifier, line, f"{path.name}:{number}")
    except TornFileError:
        verifier.note(f"{path.name} is torn: it is being written, or was cut off")


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if file.read(2) == GZIP_MAGIC:
            yield from read_lines(path)
            return
        file.seek(0)
        while line := file.readline(MAX_LINE_BYTES):
            yield line.rstrip(b"\n")


def _take_line(verifier: Verifier, line: bytes, where: str) -> None:
    try:
        position, body = read_line(line)
    except SealBrokenError as error:
        gap = _gap(line)
        if gap is None:
            verifier.stray(where, str(error))
        elif gap.first is not None and gap.last is not None:
            first, last = Position(gap.epoch, gap.first), Position(gap.epoch, gap.last)
            verifier.gap(first, last, gap.reason, until_ts=_later(gap.ts))
        elif gap.reason == RESTORED:
            verifier.note(f"{where} says that the log was put back from a copy; nothing is missing")
        else:
            verifier.note(f"{where} says that records may be missing: {gap.reason}")
        return
    verifier.add(position, body, where=f"{where} ({position})")


def _later(ts: str) -> str:
    """After a moment, whichever worker's clock is asked."""
    try:
        return rfc3339(datetime.fromisoformat(ts) + timedelta(seconds=CLOCKS_DIFFER_S))
    except (ValueError, OverflowError):
        return ""


def _gap(line: bytes) -> _Gap | None:
    try:
        gap = msgspec.json.decode(line, type=_Gap)
    except msgspec.DecodeError:
        return None
    return gap if gap.type == GAP_TYPE else None


# The log


async def read_log(
    verifier: Verifier,
    access: AuditAccess,
    archives: _Archives | None = None,
    signatures: Signatures | None = None,
) -> Report:
    """Verify what the log holds, after the archives; what came out of all.

    Args:
        verifier: has taken the archives.
        access: the log.
        archives: what was read of them.
        signatures: the verifier's.

    Raises:
        DatabaseError, StoreUnavailableError: MongoDB does not answer.
    """
    # First who says what is there, then what is there: it only becomes more.
    before = await access.registry()
    epoch = access.log.epoch
    head = await access.log.head(AUDIT_PROJECT)
    verifier.begin("the log", whole=True)
    seq = await access.log.oldest(AUDIT_PROJECT) - 1
    records = 0
    async for document in access.buffer.documents(seq, head):
        first, last = int(document["first"]), int(document["last"])
        if first > seq + 1 and (await access.log.oldest(AUDIT_PROJECT)) >= first:
            verifier.begin("the log", anew=True, whole=True)  # overwritten while we read
        bodies = _bodies(document)
        if bodies is None or len(bodies) != last - first + 1:
            why = "the document in its place holds something else"
            verifier.unreadable(Position(epoch, first), Position(epoch, last), why)
        else:
            for number, (action, body) in enumerate(bodies, start=first):
                if number <= head:
                    verifier.add(Position(epoch, number), body, action=action)
        seq = last
        records += last - first + 1
        if records > TURN_RECORDS:
            records = 0
            await asyncio.sleep(0)
    usage = await access.buffer.usage()
    if archives is not None:
        archives.end(verifier, signatures)
    return verifier.finish(
        await access.registry(),
        earlier=before,
        tip=Position(epoch, head),
        usage=(usage.oldest, usage.size_bytes, usage.capacity_bytes),
        recent_ts=rfc3339(datetime.now(UTC) - timedelta(seconds=UNDER_WAY_S)),
    )


def _bodies(document: dict[str, object]) -> list[tuple[str, bytes]] | None:
    """Action and text of each record of a document; None where it is not made like that."""
    events = document.get("events")
    if not isinstance(events, list):
        return None
    found = []
    for item in events:
        if not isinstance(item, dict) or set(item) != {"t", "b"}:
            return None
        action, body = item["t"], item["b"]
        if not isinstance(action, str) or not isinstance(body, str):
            return None
        found.append((action, body.encode("utf-8", "surrogatepass")))
    return found
