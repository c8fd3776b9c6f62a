"""What somebody who can write to MongoDB may do to one record."""

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rtserver.audit.record.actions import Action
from rtserver.audit.record.chain import GENESIS
from tests.unit.audit.site import Line, Log


def change_a_byte(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    index = chance.randrange(len(line.body))
    line.body = line.body[:index] + bytes([line.body[index] ^ 1]) + line.body[index + 1 :]
    return log


def changed_fields(line: Line, chance: random.Random) -> dict[str, Any]:
    fields = line.fields
    name = chance.choice(["actor", "outcome", "target", "ts", "ip", "details", "action", "worker"])
    fields[name] = {"other": 1} if name == "details" else f"{fields[name]}x"
    return fields


def change_a_field(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.put(changed_fields(line, chance), sealed=False)
    return log


def change_a_field_and_its_hash(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.put(changed_fields(line, chance), sealed=True)
    return log


def write_it_otherwise(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.body = b"{ " + line.body[1:]
    return log


def say_something_twice(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.body = line.body[:-1] + b',"actor":"somebody"}'
    return log


def file_under_another_action(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.action = chance.choice([action for action in Action if action.value != line.action])
    return log


def remove(log: Log, chance: random.Random) -> Log:
    """But not the oldest where that may be overwritten any moment: to remove it does just that."""
    begins = log.lines[0].seq == 1
    log.lines.remove(chance.choice(log.lines if begins else log.lines[1:]))
    return log


def remove_and_renumber(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    lines.remove(chance.choice(lines))
    return log.renumbered(lines)


def insert_a_copy(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    line = copy.copy(chance.choice(lines))
    lines.insert(chance.randint(0, len(lines)), line)
    return log.renumbered(lines)


def insert_one_made_up(log: Log, chance: random.Random) -> Log:
    """Behind a record of any chain, the last one too, made to fit."""
    lines = list(log.lines)
    index = chance.randrange(len(lines))
    before = lines[index].fields
    line = copy.copy(lines[index])
    fields = {**changed_fields(line, chance), "n": before["n"] + 1, "prev": before["hash"]}
    line.put(fields, sealed=True)
    lines.insert(index + 1, line)
    return log.renumbered(lines)


def insert_at_the_end_of_a_chain(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    ends = {line.fields["chain"]: line for line in lines}
    before = ends[chance.choice(sorted(ends))]
    line = copy.copy(before)
    last = before.fields
    line.put(
        {**changed_fields(line, chance), "n": last["n"] + 1, "prev": last["hash"]}, sealed=True
    )
    lines.insert(chance.randint(lines.index(before) + 1, len(lines)), line)
    return log.renumbered(lines)


def insert_a_chain(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    line = copy.copy(chance.choice(lines))
    fields = {**changed_fields(line, chance), "chain": "w9.0badcafe", "n": 1, "prev": GENESIS}
    line.put(fields, sealed=True)
    lines.insert(chance.randint(0, len(lines)), line)
    return log.renumbered(lines)


def swap(log: Log, chance: random.Random) -> Log:
    line, other = chance.sample(log.lines, 2)
    line.body, line.action, other.body, other.action = (
        other.body,
        other.action,
        line.body,
        line.action,
    )
    return log


def replace_by_another(log: Log, chance: random.Random) -> Log:
    line, other = chance.sample(log.lines, 2)
    line.body, line.action = other.body, other.action
    return log


Tampering = Callable[[Log, random.Random], Log]
ALL: list[Tampering] = [
    change_a_byte,
    change_a_field,
    change_a_field_and_its_hash,
    write_it_otherwise,
    say_something_twice,
    file_under_another_action,
    remove,
    remove_and_renumber,
    insert_a_copy,
    insert_one_made_up,
    insert_at_the_end_of_a_chain,
    insert_a_chain,
    replace_by_another,
]

SHOWN_IN_THE_LOG_ALONE = {file_under_another_action}
"""An archive's lines hold the records' texts, and no other field of the database."""


def tampered(log: Log, number: int) -> tuple[str, Log]:
    """The log after one of `ALL`, and which; the number says what chance does."""
    how = ALL[number % len(ALL)]
    lines = [copy.copy(line) for line in log.lines]
    return how.__name__, how(replace(log, lines=lines), random.Random(number))
