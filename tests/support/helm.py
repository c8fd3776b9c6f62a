"""Renders the charts' templates: the few parts of Go's language that they use, and no others.

Paths (`.Values.a.b`), `if`, `else`, `end`, and pipelines of `toYaml`, `nindent N`, `default PATH`
and `sha256sum`. Anything else raises ValueError, so that a template stays within what is tested.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_ACTION = re.compile(r"\{\{-?\s*([^{}]*?)\s*\}\}")


def render(template: str, context: Mapping[str, Any]) -> str:
    """The text of a template.

    Raises:
        ValueError, KeyError: it uses what is not known here, or names a value that is not there.
    """
    return "".join(_rendered(template, context))


def _rendered(template: str, context: Mapping[str, Any]) -> Iterator[str]:
    shown = [True]
    end = 0
    for action in _ACTION.finditer(template):
        text = template[end : action.start()]
        if action[0].startswith("{{-"):
            text = text.rstrip()
        if all(shown):
            yield text
        end = action.end()
        match action[1].split():
            case ["if", path]:
                shown.append(bool(_value(path, context)))
            case ["else"]:
                shown[-1] = not shown[-1]
            case ["end"]:
                shown.pop()
            case _ if all(shown):
                yield str(_pipeline(action[1], context))
    if len(shown) != 1:
        raise ValueError("an `if` has no `end`")
    yield template[end:]


def _pipeline(text: str, context: Mapping[str, Any]) -> Any:
    value: Any = None
    for number, step in enumerate(text.split(" | ")):
        match step.split():
            case [path] if number == 0 and path.startswith("."):
                value = _value(path, context)
            case ["toYaml", path] if number == 0:
                value = yaml.safe_dump(_value(path, context)).rstrip("\n")
            case ["nindent", count]:
                value = "".join(f"\n{' ' * int(count)}{line}" for line in value.splitlines())
            case ["default", path]:
                value = value or _value(path, context)
            case ["sha256sum"]:
                value = hashlib.sha256(value.encode()).hexdigest()
            case _:
                raise ValueError(f"not known here: {step!r}")
    return value


def _value(path: str, context: Mapping[str, Any]) -> Any:
    found: Any = context
    for name in path.removeprefix(".").split("."):
        found = found[name]
    return found
