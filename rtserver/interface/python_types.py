"""Types of the Python client, from the same definitions as the documents of the interface.

`make docs` writes them to `rtserver_client/frames.py`.
"""

import keyword
import sys
import textwrap
from typing import Any

from rtserver.interface.asyncapi import SESSION, STORED, Messages, document
from rtserver.lib.json_schemas import REF, Schema
from rtserver.sessions.server_frames import PositionFrame

_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_WIDTH = 100
_HEAD = '''"""Frames and what they hold, as the server describes them. Generated: do not edit.

Objects may have more keys than are named here, and frames may have types that are not.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

'''


def render() -> str:
    """The source of the module."""
    schemas = document()["components"]["schemas"]
    frames: Messages = (*SESSION, PositionFrame, *STORED)
    wanted = _used(schemas, [kind.__name__ for kind in frames])
    parts = [_HEAD]
    parts += [_alias(name, schemas[name]) for name in wanted if "enum" in schemas[name]]
    classes = [name for name in wanted if "enum" not in schemas[name]]
    # What has a keyword among its keys is no `class`, and must come after all that it refers to.
    classes.sort(key=lambda name: any(map(keyword.iskeyword, schemas[name]["properties"])))
    parts += [_class(name, schemas[name]) for name in classes]
    stored = " | ".join(kind.__name__ for kind in STORED)
    parts.append(f"\n\n{_wrapped('StoredEvent', stored)}")
    parts.append(_docstring("An event of the log; a service's own has a dot in its type", ""))
    return "".join(parts)


def _used(schemas: dict[str, Schema], names: list[str]) -> list[str]:
    """The names, and those of all that they refer to, in the order of the alphabet."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += _references(schemas[name])
    return sorted(found)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for part in schema for name in _references(part)]
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return [schema["$ref"].removeprefix(REF)]
    return [name for part in schema.values() for name in _references(part)]


def _alias(name: str, schema: Schema) -> str:
    return _wrapped(name, _type(schema), doc=schema.get("description"))


def _wrapped(name: str, expression: str, doc: str | None = None) -> str:
    line = f"{name} = {expression}"
    if len(line) > _WIDTH and expression.startswith("Literal["):
        inner = textwrap.fill(expression[len("Literal[") : -1], _WIDTH - 4)
        line = f"{name} = Literal[\n{textwrap.indent(inner, '    ')}\n]"
    elif len(line) > _WIDTH:
        inner = expression.replace(" | ", "\n    | ")
        line = f"{name} = (\n    {inner}\n)"
    return line + "\n" + (_docstring(doc, "") if doc else "")


def _class(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    fields = {
        key: _type(field) if key in required else f"NotRequired[{_type(field)}]"
        for key, field in schema["properties"].items()
    }
    if any(map(keyword.iskeyword, fields)):
        lines = [f'        "{key}": {type_},\n' for key, type_ in fields.items()]
        head = f'\n\n{name} = TypedDict(\n    "{name}",\n    {{\n'
        return "".join([head, *lines, "    },\n)\n", _docstring(schema["description"], "")])
    head = f"\n\nclass {name}(TypedDict):\n" + _docstring(schema["description"], "    ")
    return head + "\n" + "".join(f"    {key}: {type_}\n" for key, type_ in fields.items())


def _docstring(text: str, indent: str) -> str:
    lines = textwrap.wrap(text.rstrip("."), _WIDTH - len(indent) - 7)
    return f'{indent}"""' + f"\n{indent}".join(lines) + '."""\n'


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]".replace("'", '"')
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type(schema.get('items', {}))}]"
    if kind == "object":
        return f"dict[str, {_type(schema.get('additionalProperties', {}))}]"
    return _NAMES.get(kind, "Any") if isinstance(kind, str) else "Any"


if __name__ == "__main__":
    sys.stdout.write(render())
