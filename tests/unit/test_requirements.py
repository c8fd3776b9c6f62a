"""The lists of Python packages agree with each other, and with what is installed."""

import importlib.metadata
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT


def listed(name: str) -> Iterator[Requirement]:
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            yield Requirement(text)


def pinned(name: str = "requirements-dev.txt") -> dict[str, tuple[str, Requirement]]:
    """The version of each package, and its line."""
    pins: dict[str, tuple[str, Requirement]] = {}
    for entry in listed(name):
        (specifier,) = entry.specifier
        assert specifier.operator == "==", f"{entry} is no pin"
        assert canonicalize_name(entry.name) not in pins, f"{entry.name} is listed twice"
        pins[canonicalize_name(entry.name)] = (specifier.version, entry)
    return pins


def needed(entry: Requirement) -> Iterator[Requirement]:
    """What an installed package needs here, with the extras that are asked of it."""
    for text in importlib.metadata.requires(entry.name) or []:
        found = Requirement(text)
        extras = ("", *entry.extras)
        if found.marker is None or any(found.marker.evaluate({"extra": one}) for one in extras):
            yield found


def applies(entry: Requirement) -> bool:
    return entry.marker is None or entry.marker.evaluate()


def test_every_requirement_has_a_pin_within_its_range() -> None:
    pins = pinned() | pinned("requirements-node.txt")
    for entry in listed("requirements.txt"):
        exact = [one.version for one in entry.specifier if one.operator == "=="]
        version = exact[0] if exact else pins[canonicalize_name(entry.name)][0]
        assert entry.specifier.contains(version), f"{entry} is pinned to {version}"


def test_a_build_takes_what_the_server_takes() -> None:
    """setup.py runs a part of it, to put the pages together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed_to_run = {str(entry) for entry in listed("requirements.txt")}
    first, *others = map(Requirement, project["build-system"]["requires"])
    assert first.name == "setuptools"
    assert first.specifier.contains(pinned()["setuptools"][0])
    assert {str(entry) for entry in others} <= needed_to_run


def test_what_is_installed_is_what_is_pinned() -> None:
    here = {name: version for name, (version, entry) in pinned().items() if applies(entry)}
    assert {name: importlib.metadata.version(name) for name in here} == here


def test_whatever_is_brought_along_is_pinned_too_and_nothing_else() -> None:
    """Else `make run` gets versions that no test has passed with."""
    pins = pinned()
    wanted = [entry for _, entry in pins.values()] + list(listed("requirements.txt"))
    to_look_at = [entry for entry in wanted if applies(entry)]
    missing = set()
    brought = set()
    seen = set()
    while to_look_at:
        entry = to_look_at.pop()
        if str(entry) in seen:
            continue
        seen.add(str(entry))
        for found in needed(entry):
            name = canonicalize_name(found.name)
            brought.add(name)
            if name not in pins:
                missing.add(f"{found.name} (for {entry.name})")
            elif not found.specifier.contains(pins[name][0], prereleases=True):
                missing.add(f"{found} (for {entry.name}), not {pins[name][0]}")
            to_look_at.append(found)
    assert sorted(missing) == []
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    _, _, by_others = text.partition("# What those bring with them\n")
    names = {canonicalize_name(Requirement(line).name) for line in by_others.split("\n") if line}
    assert sorted(names - brought) == []
