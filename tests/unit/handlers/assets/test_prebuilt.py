"""A bundle that is kept, and read again."""

from pathlib import Path

from handlers.assets.bundle import Bundle
from handlers.assets.content import Content
from handlers.assets.prebuilt import read_bundle, write_bundle


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    bundle = Bundle(
        pages={"index.html": Content.of(b"<!doctype html>", ".html")},
        files={"index-A.js": Content.of(b"1;", ".js"), "index-B.css": Content.of(b"a{}", ".css")},
    )
    write_bundle(bundle, tmp_path / "built")
    assert read_bundle(tmp_path / "built", ["index.html"]) == bundle


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert read_bundle(tmp_path / "none", ["index.html"]) is None
