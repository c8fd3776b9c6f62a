"""Small YAML files that others wrote, read within bounds and without what YAML can do.

A loader would follow aliases, of which a few lines can stand for gigabytes, and make objects of
tags. Here only the parser's events are looked at, as far as the bounds go.
"""

import yaml

MAX_EVENTS = 20_000
MAX_DEPTH = 20

# libyaml's parser; the one in Python takes some fifty times as long.
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainYamlError(Exception):
    """A text is not YAML, or is more than plain."""


def read_plain_yaml(content: bytes) -> object:
    """Dicts, lists and texts of one YAML document; None for an empty one.

    Every scalar is a text as it was written (`true` is "true"), since no type is guessed.

    Args:
        content: the caller bounds its size.

    Raises:
        PlainYamlError: it has an alias, a key twice or a key that is no text, is deeper than
            MAX_DEPTH or longer than MAX_EVENTS, or is no YAML.
    """
    try:
        return _read(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlainYamlError("it is not YAML") from error


def _read(content: bytes) -> object:
    found: object = None
    documents = 0
    open_nodes: list[_Node] = []
    for number, event in enumerate(yaml.parse(content, Loader=_LOADER)):
        if number > MAX_EVENTS or len(open_nodes) > MAX_DEPTH:
            raise PlainYamlError("it is too large, or too deep")
        value: object
        match event:
            case yaml.AliasEvent():
                raise PlainYamlError("it has an alias in it")
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise PlainYamlError("it has more than one document")
                continue
            case yaml.MappingStartEvent():
                open_nodes.append(_Node({}))
                continue
            case yaml.SequenceStartEvent():
                open_nodes.append(_Node([]))
                continue
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                value = open_nodes.pop().value
            case yaml.ScalarEvent():
                value = event.value
            case _:
                continue
        if open_nodes:
            open_nodes[-1].add(value)
        else:
            found = value
    return found


class _Node:
    """A dict or a list that is being read."""

    def __init__(self, value: dict[str, object] | list[object]) -> None:
        self.value = value
        self._key: str | None = None

    def add(self, item: object) -> None:
        if isinstance(self.value, list):
            self.value.append(item)
        elif self._key is not None:
            self.value[self._key] = item
            self._key = None
        elif not isinstance(item, str) or item in self.value:
            raise PlainYamlError("it has a key twice, or one that is no text")
        else:
            self._key = item
