"""Files in memory, plain and compressed."""

import gzip
import os
from pathlib import Path

from handlers.assets.content import Content, Contents


def test_each_form_has_a_strong_tag_of_its_own() -> None:
    text = b"body { color: red }\n" * 200
    content = Content.of(text, ".css")
    plain, plain_tag, is_packed = content.form(gzip=False)
    packed, packed_tag, packs = content.form(gzip=True)
    assert (plain, is_packed, packs) == (text, False, True)
    assert gzip.decompress(packed) == text
    assert plain_tag != packed_tag
    assert all(tag.startswith('"') for tag in (plain_tag, packed_tag))
    assert content == Content.of(text, ".css"), "the same on every worker"


def test_what_would_not_become_smaller_stays_plain() -> None:
    for text in (b"short", os.urandom(2000)):
        body, _, is_packed = Content.of(text, ".js").form(gzip=True)
        assert (body, is_packed) == (text, False)


def test_a_file_is_read_anew_where_it_has_changed(tmp_path: Path) -> None:
    contents, file = Contents(), tmp_path / "a.js"
    file.write_text("one")
    first = contents.get(file)
    assert contents.get(file) is first
    file.write_text("another")
    assert contents.get(file).plain == b"another"
