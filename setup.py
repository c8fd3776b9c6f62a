"""What a wheel and an sdist have beside Python: pages, the demo, and what pages load from npm.

All else is in pyproject.toml. A package must do where there is no Node.js, so the files of npm's
packages that pages load go along with their licences, and the pages' scripts as esbuild put them
together, where npm had installed these when the package was built.
"""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build backend's path has no place for what it builds

from handlers.assets.bundle import BUNDLED, Bundler, find_tool  # noqa: E402
from handlers.assets.prebuilt import PREBUILT, write_bundle  # noqa: E402
from handlers.assets.vendored import VENDORED, Vendored  # noqa: E402
from rtserver.lib.server_root import PACKED  # noqa: E402

STATIC = Path("static")
MODULES = Path("node_modules")
MADE = shutil.ignore_patterns(PREBUILT.name, "__pycache__")
NOTICES = ("LICEN[CS]E*", "licen[cs]e*", "NOTICE*", "package.json")


def vendored_files(vendored: Vendored) -> Iterator[Path]:
    """What pages load of a package, from the root."""
    folder = ROOT / MODULES / vendored.package / vendored.folder
    for path in sorted(folder.rglob("*")):
        if re.fullmatch(vendored.files, path.relative_to(folder).as_posix()):
            yield path.relative_to(ROOT)


def notices(package: str, users: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The licences of a package and of all that it needs: what is built holds parts of these.

    Args:
        package: its name.
        users: the folders of those that need it, the outermost first.
    """
    # Node.js looks in the folder of who needs it first, then in that around.
    places = (place / MODULES / package for place in (*reversed(users), ROOT))
    folder = next((place for place in places if (place / "package.json").is_file()), None)
    if folder is None or folder in users:
        return
    for pattern in NOTICES:
        yield from (path.relative_to(ROOT) for path in sorted(folder.glob(pattern)))
    described = json.loads((folder / "package.json").read_text("utf-8"))
    for needed in described.get("dependencies", {}):
        yield from notices(needed, (*users, folder))


def warn(problem: str) -> None:
    """Say what the package will lack."""
    print(f"warning: {problem}", file=sys.stderr)  # noqa: T201 - a build tells its user this way


def from_npm() -> dict[Path, None]:
    """All that goes along of npm's packages, from the root, each once."""
    found: dict[Path, None] = {}
    for one in VENDORED:
        files = list(vendored_files(one))
        if not files:
            warn(f"without {one.package}: npm has not installed it")
        found.update(dict.fromkeys(files))
        found.update(dict.fromkeys(notices(one.package) if files else ()))
    return found


def put_bundle(target: Path) -> None:
    """Put the pages' scripts together in a package's folder, where that can be done."""
    tool = find_tool(ROOT / MODULES)
    made = asyncio.run(Bundler(ROOT / STATIC, BUNDLED, tool).get())
    if made is not None:
        write_bundle(made, target / STATIC / PREBUILT)
    elif (ROOT / STATIC / PREBUILT).is_dir():  # an sdist brings it along
        shutil.copytree(ROOT / STATIC / PREBUILT, target / STATIC / PREBUILT)
    else:
        warn("pages are not put together: npm has not installed esbuild")


def copy(files: dict[Path, None], target: Path) -> None:
    """Copy files of the root to where they are from another."""
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)


class BuildPython(build_py):  # type: ignore[misc]
    """Adds to the package what it finds beside it in a repository."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:  # then it finds it there
            return
        target = Path(self.build_lib) / "rtserver" / PACKED
        shutil.rmtree(target, ignore_errors=True)
        for name in (STATIC, Path("demo")):
            shutil.copytree(ROOT / name, target / name, ignore=MADE)
        copy(from_npm(), target)
        put_bundle(target)


class SourceDistribution(sdist):  # type: ignore[misc]
    """Adds what npm installed, so that what is built of it is the same without npm."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Put together what is packed."""
        super().make_release_tree(base_dir, files)
        copy(from_npm(), Path(base_dir))
        put_bundle(Path(base_dir))


setup(cmdclass={"build_py": BuildPython, "sdist": SourceDistribution})
