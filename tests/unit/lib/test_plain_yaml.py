"""YAML that others wrote."""

import pytest

from rtserver.lib.plain_yaml import MAX_DEPTH, PlainYamlError, read_plain_yaml
from tests.support.cost import cpu_s


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"", None),
        (b"# nothing\n", None),
        (b"a: 1\nb: true\nc: ~\n", {"a": "1", "b": "true", "c": "~"}),
        (b"a:\n- b: x\n  c: |\n    d: e\n- []\n", {"a": [{"b": "x", "c": "d: e\n"}, []]}),
        (b"\xef\xbb\xbfa: '\xc3\xbc'\n", {"a": "\u00fc"}),
        (b"a: !!python/object/apply:os.system ['true']\n", {"a": ["true"]}),
        (b"a: &x 1\n", {"a": "1"}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    ],
)
def test_plain_values(content: bytes, value: object) -> None:
    found = read_plain_yaml(content)
    assert found == value or value is None


@pytest.mark.parametrize(
    "content",
    [
        b"a: &x [1]\nb: *x\n",
        b"a: &x {b: 1}\nc: {<<: *x}\n",
        b"a: 1\na: 2\n",
        b"[1]: 2\n",
        b"a: 1\n---\nb: 2\n",
        b"a: [1\n",
        b"\tx",
        b"\xff\xfe\xff",
        b"a: \x00\n",
        b"[" * 60_000,
        b"{a: " * 60_000,
        b"- " * 60_000,
        b"- a\n" * 30_000,
    ],
)
def test_what_is_refused_at_once(content: bytes) -> None:
    def read() -> None:
        with pytest.raises(PlainYamlError):
            read_plain_yaml(content)

    assert cpu_s(read, tries=1) < 1
