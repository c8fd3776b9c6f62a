"""`rtserver.lib.server_root`."""

from pathlib import Path

from rtserver.lib.server_root import PACKED, SERVER_ROOT, server_root


def test_the_pages_are_at_the_root() -> None:
    assert (SERVER_ROOT / "static" / "index.html").is_file()


def test_a_package_brings_its_own(tmp_path: Path) -> None:
    package = tmp_path / "rtserver"
    package.mkdir()
    assert server_root(package) == tmp_path
    (package / PACKED).mkdir()
    assert server_root(package) == package / PACKED
