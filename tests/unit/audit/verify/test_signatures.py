"""What signed checkpoints add to the verification of real records; only the log is in memory."""

import asyncio
import copy
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from rtserver.audit.checkpoints.note import SigningKey
from rtserver.audit.record.chain import Head
from rtserver.audit.verify.findings import FindingKind, Report
from rtserver.audit.verify.signatures import OutsideCheckpoint, Signatures
from rtserver.model.positions import Position
from tests.support.recorder import recording
from tests.unit.audit.site import EPOCH, Log, Site, history_of, verified
from tests.unit.audit.tamperings import tampered

KEY = SigningKey("audit.example.com/test", bytes(range(32)))
TAMPERINGS = 100
SWAPS = 60


@dataclass
class Signed:
    """A log with checkpoints in it, and those that were kept outside."""

    log: Log
    notes: dict[str, str]


def signatures(notes: Mapping[str, str] = {}, **options: Position) -> Signatures:
    keys = [KEY.public]
    outside = [OutsideCheckpoint.open(name, text.encode(), keys) for name, text in notes.items()]
    return Signatures("audit", keys, outside, **options)


def checked(log: Log, notes: Mapping[str, str] = {}) -> Report:
    return verified(log, signatures=signatures(notes))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """The log of a site at rest whose workers sign."""
    with recording():
        site = Site(tmp_path_factory.mktemp("site"), KEY)
        yield Signed(asyncio.run(history_of(site)), site.outside.notes)


def test_an_honest_log_is_clean_and_says_up_to_where_it_is_signed(signed: Signed) -> None:
    report = checked(signed.log, signed.notes)
    assert report.findings == []
    assert not any("could not be checked" in note for note in report.notes)
    for chain in report.chains:
        # Of a killed worker the last checkpoint itself is not signed.
        assert chain.signed is not None
        assert chain.last - chain.signed == (1 if chain.state == "lost" else 0)
    # Without a key all is as it was.
    assert verified(signed.log).findings == []


def test_whatever_the_capped_buffer_has_overwritten_it_is_clean(signed: Signed) -> None:
    for oldest in signed.log.packs:
        report = checked(signed.log.wrapped(oldest), signed.notes)
        assert report.findings == [], oldest


def test_each_of_some_tamperings_with_one_record_is_found(signed: Signed) -> None:
    missed = []
    for number in range(TAMPERINGS):
        wraps = number % 2 and random.Random(-number).choice(signed.log.packs[1:-5])
        name, log = tampered(signed.log.wrapped(wraps) if wraps else signed.log, number)
        if checked(log).is_clean:
            missed.append((number, name))
    assert missed == []


def _swapped(log: Log, one: int, other: int) -> Log:
    lines = [copy.copy(line) for line in log.lines]
    line, with_ = lines[one], lines[other]
    line.body, with_.body = with_.body, line.body
    line.action, with_.action = with_.action, line.action
    return replace(log, lines=lines)


def test_each_swap_of_two_records_of_different_chains_is_found(signed: Signed) -> None:
    """Also where they are next to each other, and no anchor lies between them."""
    chains = [line.fields["chain"] for line in signed.log.lines]
    pairs = [
        pair
        for pair in itertools.combinations(range(len(chains)), 2)
        if chains[pair[0]] != chains[pair[1]]
    ]
    near = [(one, other) for one, other in pairs if other - one == 1]
    unseen = [pair for pair in near if verified(_swapped(signed.log, *pair)).is_clean]
    assert unseen, "without signatures some are not seen"
    for one, other in [*unseen, *random.Random(1).sample(pairs, SWAPS)]:
        report = checked(_swapped(signed.log, one, other))
        assert not report.is_clean, (one, other)
    report = checked(_swapped(signed.log, *unseen[0]))
    # By each worker that had signed the order by then.
    assert {finding.kind for finding in report.findings} == {FindingKind.MOVED}


def test_the_end_that_was_removed_is_missed_wherever_else_it_was_forgotten(signed: Signed) -> None:
    """MongoDB says nothing of it: neither the registry nor the head of the log."""
    for count in (1, 3, 40):
        lines = signed.log.lines[:-count]
        last = lines[-1].fields
        registry = {last["chain"]: (Head(last["n"], last["hash"]), True)}
        log = replace(signed.log, lines=lines, tip=lines[-1].seq, registry=registry)
        assert verified(log).is_clean, count
        assert checked(log).is_clean, count
        findings = checked(log, signed.notes).findings
        assert {finding.kind for finding in findings} == {FindingKind.REMOVED}, count
        assert f"{EPOCH}-{signed.log.tip}" in findings[0].what
    # Only of a chain, and the rest moved up, so that no number is missing.
    lines = [copy.copy(line) for line in signed.log.lines]
    shorter = signed.log.renumbered(lines[:-1])
    report = checked(replace(shorter, registry={}), signed.notes)
    assert FindingKind.REMOVED in {finding.kind for finding in report.findings}


def test_what_was_rewritten_altogether_does_not_fit_what_was_kept_outside(signed: Signed) -> None:
    empty = replace(signed.log, lines=[], registry={}, tip=0, usage=(1, 0, 1 << 30))
    assert checked(empty).is_clean
    findings = checked(empty, signed.notes).findings
    assert {finding.kind for finding in findings} == {FindingKind.REMOVED}


def test_a_checkpoint_that_its_key_did_not_sign_is_found(signed: Signed) -> None:
    index, line = next(
        (index, line)
        for index, line in enumerate(signed.log.lines)
        if line.action == "audit.checkpointed"
    )
    lines = list(signed.log.lines)
    forged = lines[index] = copy.copy(line)
    fields = line.fields
    fields["details"]["checkpoints"][0]["size"] += 1
    forged.put(fields, sealed=True)
    whats = {finding.what for finding in checked(replace(signed.log, lines=lines)).findings}
    assert "its worker's key did not sign this checkpoint" in whats

    stranger = Signatures("audit", [SigningKey("other", bytes(32)).public])
    report = verified(signed.log, signatures=stranger)
    assert report.findings == []
    assert any("keys that were not given" in note for note in report.notes)
    assert {chain.signed for chain in report.chains} == {0}

    (name, note), *_ = signed.notes.items()
    for content in (note.replace("\n1", "\n2", 1), "nothing", note.replace("audit/", "x/x/", 1)):
        if content != note:
            with pytest.raises(ValueError, match=r"note|signature|checkpoint"):
                OutsideCheckpoint.open(name, content.encode(), [KEY.public])


def test_checkpoints_of_another_log_are_passed_over(signed: Signed) -> None:
    others = {
        name: OutsideCheckpoint.open(name, text.encode(), [KEY.public])
        for name, text in signed.notes.items()
    }
    report = verified(signed.log, signatures=Signatures("strangers", [KEY.public], others.values()))
    # Those in the records are taken for the log's own, which they don't fit.
    assert not any(finding.where in others for finding in report.findings)
