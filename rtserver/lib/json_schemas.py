"""JSON Schemas of typed definitions, for the documents of the HTTP interface and the sockets."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

REF = "#/components/schemas/"
_JSON = "Json"
"""The last part of the names of types for what is shown of a thing: documents leave it out."""

_SECTION = re.compile(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", re.MULTILINE)

Schema = dict[str, Any]


def components(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schemas of types, and those of all that they refer to, by name.

    What a docstring says of a type and its attributes is their description.
    """
    schemas, named = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    for schema in named.values():
        _describe(schema)
    shown = {_shown(name): _renamed(schema) for name, schema in sorted(named.items())}
    return [_renamed(schema) for schema in schemas], shown


def fields_of(kind: type[msgspec.Struct]) -> list[tuple[str, Schema, bool]]:
    """Name, schema and whether it must be there, of each field of a flat structure.

    A parameter is there or it is not, so none is ever null.
    """
    _, named = components([kind])
    schema = named[_shown(kind.__name__)]
    required = schema.get("required", ())
    return [
        (name, _without_null(field), name in required)
        for name, field in schema["properties"].items()
    ]


def _without_null(field: Schema) -> Schema:
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        described = {key: field[key] for key in ("description",) if key in field}
        field = {**options[0], **described}
    if field.get("default", ()) in ([], None):
        field = {key: value for key, value in field.items() if key != "default"}
    return field


def split_doc(text: str | None) -> tuple[str, str]:
    """The first line of a docstring without its full stop, and what it says beyond.

    What is for people who read the code (arguments, errors) is left out.
    """
    text = inspect.cleandoc(text or "")
    first, _, rest = text.partition("\n")
    rest = re.split(r"^(?:Args|Attributes|Raises|Returns):$", rest, maxsplit=1, flags=re.MULTILINE)[
        0
    ]
    return first.removesuffix("."), rest.strip()


def _describe(schema: Schema) -> None:
    text = inspect.cleandoc(schema.get("description", ""))
    first, rest = split_doc(text)
    description = ". ".join(part for part in (first, rest) if part)
    schema.pop("description", None)
    if description:
        schema["description"] = description
    section = _SECTION.search(text + "\n")
    fields = {
        name.lower().replace("-", "_"): field
        for name, field in schema.get("properties", {}).items()
    }
    for names, said in _ATTRIBUTE.findall(section[1] if section else ""):
        for name in names.split(", "):
            field = fields.get(name)
            if field is not None and "$ref" not in field:
                words = " ".join(said.split())
                field["description"] = words[:1].upper() + words[1:]


def _shown(name: str) -> str:
    return name.removesuffix(_JSON)


def _renamed(value: Any) -> Any:
    """The same with the names as documents have them."""
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    result = {key: _renamed(item) for key, item in value.items()}
    if isinstance(result.get("$ref"), str):
        result["$ref"] = _shown(result["$ref"])
    if "title" in result and isinstance(result["title"], str) and "type" in result:
        result["title"] = _shown(result["title"])
    return result
