"""Declared settings: each read from a flag or the environment, and refused with one line."""

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rtserver.config.kinds import Kind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


class SettingError(ValueError):
    """A setting has a value that it can't have; the text is one line for the operator.

    The value itself is part of the text unless it is, or may carry, a secret.

    Attributes:
        env_name: the environment variable, `RT_...`.
        flag: the command-line flag, `--...`.
        allowed: what the setting takes, in words.
    """

    def __init__(self, spec: "SettingSpec", value: str, problem: str = "") -> None:
        self.env_name = spec.env_name
        self.flag = spec.flag
        self.allowed = spec.kind.allowed
        # An address with a user part carries a password more often than not.
        hidden = spec.secret or "@" in value
        shown = "what it is set to (not shown here)" if hidden else repr(_shortened(value))
        detail = f" ({_shortened(problem)})" if problem and (spec.kind.tells or not hidden) else ""
        super().__init__(
            f"{self.env_name} ({self.flag}) can't be {shown}{detail}: it takes {self.allowed}"
        )


def _shortened(value: str) -> str:
    return value if len(value) <= 80 else value[:80] + "..."


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """The declaration of one setting.

    Attributes:
        attribute: the name in `Settings`.
        kind: how its text is read.
        default: the value when it is not set.
        reason: why it is there and why the default is what it is.
        unset: words for the default where the value itself does not say it.
        section: the heading that it stands under in help and documentation.
        secret: the value is never shown.
        keep_empty: an empty text is a value of its own instead of "not set".
    """

    attribute: str
    kind: Kind
    default: object
    reason: str
    unset: str
    section: str
    secret: bool
    keep_empty: bool

    @property
    def env_name(self) -> str:
        """The environment variable, `RT_PING_INTERVAL_S`."""
        return "RT_" + self.attribute.upper()

    @property
    def flag(self) -> str:
        """The command-line flag, `--ping-interval-s`."""
        return "--" + self.attribute.replace("_", "-")

    def read(self, text: str) -> object:
        """The value that a text stands for.

        Raises:
            SettingError: the text is not among what the setting takes.
        """
        stripped = text.strip()
        if not stripped and not self.keep_empty:
            return self.default
        try:
            return self.kind.parse(stripped)
        except ValueError as error:
            # `from None`: the cause would bring the value of a secret into a traceback.
            raise SettingError(self, text, str(error)) from None


def setting(
    default: T,
    kind: Kind,
    reason: str,
    *,
    section: str = "",
    unset: str = "",
    secret: bool = False,
    keep_empty: bool = False,
) -> T:
    """Declare a field of `Settings`. `section` is given on the first setting of each section."""
    metadata = {
        "kind": kind,
        "reason": reason,
        "section": section,
        "unset": unset,
        "secret": secret,
        "keep_empty": keep_empty,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """An `RT_` variable that is no setting; most likely a slip of the pen.

    Attributes:
        name: the variable as found.
        suggestion: the setting whose name is closest, if any is close.
    """

    name: str
    suggestion: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.name} is not a setting and does nothing{hint}"


def unknown_variables(
    environ: Mapping[str, str], specs: Sequence[SettingSpec]
) -> tuple[UnknownVariable, ...]:
    """The `RT_` variables that are no setting, by name."""
    known = [spec.env_name for spec in specs]
    found = sorted(name for name in environ if name.startswith("RT_") and name not in known)
    return tuple(
        UnknownVariable(name, next(iter(difflib.get_close_matches(name, known, n=1)), None))
        for name in found
    )


def specs_of(settings: "type[DataclassInstance]") -> tuple[SettingSpec, ...]:
    """Every setting of a class whose fields were declared with `setting`, in their order."""
    specs: list[SettingSpec] = []
    section = ""
    for field in dataclasses.fields(settings):
        if "kind" not in field.metadata:
            continue
        declared = dict(field.metadata)
        section = declared["section"] or section
        declared["section"] = section
        specs.append(SettingSpec(attribute=field.name, default=field.default, **declared))
    return tuple(specs)


def add_flags(parser: argparse.ArgumentParser, specs: Sequence[SettingSpec]) -> None:
    """Give a parser one flag for each setting; `flags_of` reads them back.

    Values stay text here, so that flags and environment are read and refused by the same code.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    for spec in specs:
        if spec.section not in groups:
            groups[spec.section] = parser.add_argument_group(spec.section.lower())
        note = " Visible to others for a moment: prefer the environment." if spec.secret else ""
        groups[spec.section].add_argument(
            spec.flag,
            dest=spec.attribute,
            metavar=spec.kind.metavar,
            action="append" if spec.kind.is_list else "store",
            help=f"{spec.reason}{note} [{spec.env_name}]".replace("%", "%%"),
        )


def flags_of(arguments: argparse.Namespace, specs: Sequence[SettingSpec]) -> dict[str, str | None]:
    """What the flags of `add_flags` were given, as text by attribute name."""
    flags: dict[str, str | None] = {}
    for spec in specs:
        value: str | list[str] | None = getattr(arguments, spec.attribute, None)
        flags[spec.attribute] = (
            spec.kind.separator.join(value) if isinstance(value, list) else value
        )
    return flags


def read_settings(
    specs: Sequence[SettingSpec], environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> dict[str, object]:
    """The values of the settings that are set, by attribute name.

    Args:
        specs: the settings that there are.
        environ: environment variables; those that don't start with `RT_` are ignored.
        flags: text by attribute name, as `flags_of` gives it; None where a flag was not given.

    Raises:
        SettingError: a value is not among what its setting takes.
        TypeError: `flags` has a key that is no setting (a mistake in the calling code).
    """
    if unknown := flags.keys() - {spec.attribute for spec in specs}:
        raise TypeError(f"not settings: {', '.join(sorted(unknown))}")
    values: dict[str, object] = {}
    for spec in specs:
        text = flags.get(spec.attribute)
        text = environ.get(spec.env_name) if text is None else text
        if text is not None:
            values[spec.attribute] = spec.read(text)
    return values
