"""`rtserver.app.audit`."""

import base64
import contextlib
import hashlib
import io
import json
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rtserver.app.audit import build_audit
from rtserver.app.mongo import build_mongo
from rtserver.audit.archive.file import archive_files, read_lines
from rtserver.audit.checkpoints.key_file import make_key_file
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.cli.main import main
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.events import AUDIT_PROJECT
from store.base.client import Database
from store.documents.workers import WORKERS
from store.log.collection import AUDIT, HEADS
from tests.support.waiting import until
from tests.unit.app.parts import build_kept, foundation


@pytest.mark.gen_test
async def test_where_the_spool_cannot_be_the_setting_is_named(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / SPOOL_FOLDER).touch()
    async with foundation(settings) as base:
        mongo = await build_mongo(base)
        with pytest.raises(OperatorError, match="RT_DATA_DIR"):
            await build_audit(base, mongo)


@pytest.mark.gen_test
async def test_outages_are_recorded_until_the_worker_stops(settings: Settings) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        auditor = kept.audit.auditor
        (outages,) = kept.mongo.primary.observers
        before = auditor.n
        outages.primary_lost()
        outages.primary_found()
        assert auditor.n == before + 2
    ended = auditor.n
    outages.primary_lost()
    outages.primary_found()
    assert auditor.n == ended


# Signed checkpoints, on a real log and a real archive


def _mth(entries: Sequence[bytes]) -> bytes:
    """The Merkle tree hash, word for word as RFC 6962 section 2.1 defines it."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return hashlib.sha256(b"\1" + _mth(entries[:k]) + _mth(entries[k:])).digest()


def _opened(note: str, vkey: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint, checked as c2sp.org has it and by no code of ours."""
    name, key_id, encoded = vkey.split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1
    assert hashlib.sha256(f"{name}\n".encode() + public).digest()[:4].hex() == key_id
    text, signature_line = note.split("\n\n")
    dash, signer, signed = signature_line.removesuffix("\n").split(" ")
    signature = base64.b64decode(signed)
    assert (dash, signer, signature[:4].hex()) == ("\u2014", name, key_id)
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], f"{text}\n".encode())
    origin, size, root = text.split("\n")
    assert origin.startswith(f"{name}/")
    return origin.removeprefix(f"{name}/"), int(size), base64.b64decode(root)


def _verify(settings: Settings, *arguments: object) -> tuple[int, str]:
    out = io.StringIO()
    environ = {
        "RT_MONGODB_URI": str(settings.mongodb_uri),
        "RT_MONGODB_DATABASE": settings.mongodb_database,
        "RT_DATA_DIR": str(settings.data_dir),
    }
    with contextlib.redirect_stdout(out):
        status = main(["audit", "verify", *map(str, arguments)], environ)
    return status, out.getvalue()


def _kinds(settings: Settings, *arguments: object) -> set[str]:
    """The kinds of traces of tampering that `audit verify` finds."""
    status, printed = _verify(settings, "--json", *arguments)
    report = json.loads(printed)
    assert (status == 0) == report["clean"]
    return {finding["kind"] for finding in report["findings"]}


@pytest.mark.gen_test(timeout=60)
async def test_what_a_worker_signed_shows_what_was_removed_since(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    vkey = str(make_key_file(tmp_path / "key", "audit.example.com/site").public)
    keys, outside, archive = (tmp_path / name for name in ("keys", "outside", "archive"))
    keys.write_text(f"{vkey}\n")
    signing = replace(
        settings,
        audit_signing_key_file=tmp_path / "key",
        audit_checkpoints_dir=outside,
        audit_archive_dir=archive,
        audit_checkpoint_interval_s=0.1,
        lease_s=3600.0,  # so that no lease is renewed
    )
    async with foundation(signing) as base:
        kept = await build_kept(base)
        assert kept.audit.public_key == vkey
        for number in range(20):
            kept.audit.auditor.record(Action.LOCK_ACQUIRED, by=Acting("::1"), target=str(number))
        await kept.audit.auditor.flush()
        chain = kept.audit.auditor.chain
        await until(
            lambda: any(outside.glob(f"audit_{chain}_archive_*.note")), "the archive is signed"
        )
    lines = [line for file in archive_files(archive) for line in read_lines(file)]
    records = [json.loads(line) for line in lines]
    everything = [bytes.fromhex(one["hash"]) for one in records]
    opened = {path.name: _opened(path.read_text(), vkey) for path in outside.glob("audit_*")}
    # There is one chain, so the trees over it, over the log and over the archive have the same.
    assert len(opened) == 3
    for name, (origin, size, root) in opened.items():
        assert name == f"{origin.replace('/', '_')}.note"
        assert (size, root) == (len(everything), _mth(everything)), name
    assert any(outside.glob("strangers_*"))

    signed = ("--keys", keys, "--checkpoints", outside)
    assert await to_thread(_kinds, settings, *signed, archive) == set()
    assert await to_thread(_kinds, settings, "--offline", *signed, archive) == set()
    status, proof = await to_thread(
        _verify, settings, "--offline", *signed, "--prove", records[4]["id"], archive
    )
    head, _, checkpoint = proof.partition("\n\n")
    assert (status, head.split("\n")[:2]) == (0, ["c2sp.org/tlog-proof@v1", "index 4"])
    assert _opened(checkpoint, vkey) == opened[f"audit_{chain}.note"]

    # The archive's newest file; nobody asks MongoDB how far it went.
    newest = archive_files(archive)[-1]
    content = newest.read_bytes()
    newest.unlink()
    assert await to_thread(_kinds, settings, "--offline", archive) == set()
    assert await to_thread(_kinds, settings, "--offline", *signed, archive) == {"removed"}
    newest.write_bytes(content)

    # The end of the log, by somebody who can write to MongoDB.
    last, left = await db[AUDIT].find(sort=[("first", -1)]).to_list(2)
    await db[AUDIT].delete_one({"_id": last["_id"]})
    end = json.loads(left["events"][-1]["b"])
    known = {"n": end["n"], "hash": end["hash"], "id": records[left["last"] - 1]["id"]}
    await db[WORKERS].update_one({"_id": chain}, {"$set": known})
    await db[HEADS].update_one({"_id": AUDIT_PROJECT}, {"$set": {"seq": left["last"]}})
    assert await to_thread(_kinds, settings) == set()
    assert await to_thread(_kinds, settings, *signed) == {"removed"}
