"""Findings of an audit verification, for people and for programs."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rtserver.model.texts import printable


class FindingKind(enum.StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    """A record is not what was recorded."""
    REMOVED = "removed"
    """Records are not there that should be."""
    INSERTED = "inserted"
    """A record is there that nobody recorded, or a second time."""
    MOVED = "moved"
    """A record is not in the place where it was stored."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A trace of tampering.

    Attributes:
        kind: what is wrong.
        what: the same in words, and how it shows.
        where: the position in the log, or the file and line, where it was noticed.
        chain: the chain concerned; None where it is not known.
        first, last: the numbers in it of the records concerned.
    """

    kind: FindingKind
    what: str
    where: str
    chain: str | None = None
    first: int | None = None
    last: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        fields = {name: getattr(self, name) for name in ("chain", "first", "last")}
        known = {name: value for name, value in fields.items() if value is not None}
        return {"kind": self.kind.value, "what": self.what, "where": self.where, **known}

    def __str__(self) -> str:
        which = ""
        if self.chain is not None and self.first is not None:
            last = "" if self.last in (None, self.first) else f" to {self.last}"
            which = f" record{'s' if last else ''} {self.first}{last} of {self.chain}"
        return printable(f"{self.kind.value.upper()}{which} at {self.where}: {self.what}")


@dataclass(frozen=True, slots=True)
class ChainState:
    """How a chain stands after all was read.

    Attributes:
        chain: its name.
        first, last: the numbers of its oldest and newest record that were read.
        hash: of the newest.
        id: where that is.
        state: `registered`: its worker lives, or nobody noticed yet that it does not; `ended` in
            order; `lost` (killed or cut off; what it had not written yet, a moment's worth, is not
            there); `open`: nobody says how it ended.
        signed: up to which number its worker signed it; None: no key was given.
    """

    chain: str
    first: int
    last: int
    hash: str
    id: str
    state: str
    signed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs; `heads` of a report can be held against a later one."""
        signed = {} if self.signed is None else {"signed": self.signed}
        return {
            **signed,
            "chain": self.chain,
            "first": self.first,
            "n": self.last,
            "hash": self.hash,
            "id": self.id,
            "state": self.state,
        }


@dataclass(slots=True)
class Report:
    """The result.

    Attributes:
        records: how many were read.
        ranges: the places in the log that were read, without a hole, as pairs of ids.
        findings: traces of tampering, in the order of the log as far as that is possible.
        more: findings beyond those that are listed.
        notes: what is no tampering, and should be known.
        chains: how the chains stand.
    """

    records: int = 0
    ranges: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    notes: list[str] = field(default_factory=list)
    chains: list[ChainState] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether there is no trace of tampering."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "clean": self.is_clean,
            "records": self.records,
            "ranges": [{"first": first, "last": last} for first, last in self.ranges],
            "findings": [finding.to_json() for finding in self.findings],
            "more_findings": self.more,
            "notes": self.notes,
            "chains": [chain.to_json() for chain in self.chains],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.records} records of {len(self.chains)} chains"
        for first, last in self.ranges:
            yield f"  {first} to {last}"
        for chain in self.chains:
            signed = "" if chain.signed is None else f", signed up to {chain.signed}"
            yield printable(
                f"  chain {chain.chain}: records {chain.first} to {chain.last}, {chain.state}"
                f"{signed}"
            )
        yield from (printable(f"note: {note}") for note in self.notes)
        yield from map(str, self.findings)
        if self.more:
            yield f"and {self.more} more"
        count = len(self.findings) + self.more
        yield "clean" if self.is_clean else f"NOT CLEAN: {count} traces of tampering"
