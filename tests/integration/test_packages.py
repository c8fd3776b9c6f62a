"""The sdist and the wheel: all is in them, and a server runs from an empty folder on a wheel."""

import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.assets.bundle import find_tool
from handlers.assets.vendored import VENDORED
from rtserver.model.version import VERSION
from tests.support.cli import environ_of
from tests.support.mongo import MongodProcess
from tests.support.processes import ROOT, end, spawn, wait_until

BUILD_SDIST = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
SERVE = (
    "import sys; assert not any(path == {root!r} for path in sys.path); "
    "from importlib.metadata import entry_points; "
    "(command,) = entry_points(group='console_scripts', name='rtserver'); command.load()()"
)
OFFLINE = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
NPM = ROOT / "node_modules"


def run(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes, of a copy: a build leaves files beside the sources."""
    copy = tmp_path_factory.mktemp("dist") / "rtserver"
    copy.mkdir()
    grafted = re.findall(r"^graft (.*)", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE)
    for name in ("rtserver", "handlers", "store", *grafted):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in ("*.md", "*.toml", "*.in", "*.py", "*.txt", "*.conf"):
        for path in ROOT.glob(pattern):
            shutil.copy(path, copy)
    (copy / "node_modules").symlink_to(NPM)
    run("-c", BUILD_SDIST, cwd=copy)
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    run("-m", "pip", "wheel", "-q", *OFFLINE, "-w", "dist", str(sdist), cwd=copy)
    return copy / "dist"


def test_the_client_is_a_wheel_by_itself(tmp_path: Path) -> None:
    copy = tmp_path / "rtserver_client"
    shutil.copytree(
        ROOT / "rtserver_client", copy, ignore=shutil.ignore_patterns("__pycache__", "build")
    )
    run("-m", "pip", "wheel", "-q", *OFFLINE, "-w", str(tmp_path), str(copy), cwd=tmp_path)
    (wheel,) = tmp_path.glob("rtserver_client-*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    sources = {f"rtserver_client/{path.name}" for path in copy.glob("*.py")}
    assert sources | {"rtserver_client/py.typed"} == {
        name for name in names if "dist-info" not in name
    }
    # Nothing of the server: it runs where only its own two needs are installed.
    foreign = "{name for name in sys.modules if name.split('.')[0] in ('rtserver', 'tornado')}"
    code = (
        f"import sys; sys.path.insert(0, sys.argv[1]); import rtserver_client; assert not {foreign}"
    )
    run("-c", code, str(wheel), cwd=tmp_path)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, and none of what it needs."""
    target = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    offline = ("--no-deps", "--no-index", "--disable-pip-version-check")
    run("-m", "pip", "install", "-q", *offline, "--target", str(target), str(wheel), cwd=target)
    return target


@pytest.fixture(scope="module")
def address(
    installed: Path, mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of `rtserver serve --demo`, run in an empty folder."""
    folder = tmp_path_factory.mktemp("empty")
    out, err = folder.parent / "packages.out", folder.parent / "packages.err"
    with mongod.fresh_database() as name:
        environ = environ_of(port=0, mongodb_uri=mongod.uri, mongodb_database=name)
        process = spawn(
            [sys.executable, "-c", SERVE.format(root=str(ROOT)), "serve", "--demo"],
            environ={**environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
            stdout=out,
            stderr=err,
            cwd=folder,
        )
        try:
            wait_until(
                lambda: "http://" in out.read_text() or process.poll() is not None,
                "the demo's addresses",
                explain=err.read_text,
            )
            found = re.search(r"http://[\w.]+:\d+", out.read_text())
            assert found, err.read_text()
            yield found[0]
        finally:
            assert end(process)
        assert process.returncode in (0, -signal.SIGTERM), err.read_text()
        assert [path.name for path in folder.iterdir()] == ["var"]


def fetched(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_the_wheel_has_no_more_top_level_names_than_the_repository(dist: Path) -> None:
    (path,) = dist.glob(f"rtserver-{VERSION}-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(f"rtserver-{VERSION}.dist-info/METADATA").decode()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"rtserver", "handlers", "store", f"rtserver-{VERSION}.dist-info"}
    assert "Requires-Dist: tornado" in metadata


def test_every_file_that_pages_load_goes_along_with_its_licence(dist: Path) -> None:
    if not NPM.is_dir():
        pytest.skip("npm has installed nothing")
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"supervisord.conf", "requirements.txt", "SECURITY.md", "static/index.html"} <= packed
    for one in VENDORED:
        within = f"node_modules/{one.package}/"
        inside = {name.removeprefix(within) for name in packed if name.startswith(within)}
        assert any(re.fullmatch(f"{one.folder}/{one.files}", name) for name in inside)
        assert any(name.upper().startswith("LICEN") for name in inside), one.package
    # It is within sockjs.min.js, and has a licence of its own.
    assert "node_modules/url-parse/LICENSE" in packed


def test_the_pages_and_the_demo_are_served_by_what_was_installed(address: str) -> None:
    status, page = fetched(f"{address}/")
    assert status == 200
    loaded = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert loaded
    for path in loaded:
        assert fetched(address + path)[0] == 200
    if find_tool(NPM) is not None:
        assert all("/static/built/" in path for path in loaded if path.endswith((".js", ".css")))
    if NPM.is_dir():
        for name in ("sockjs.min.js", "markdown-it.esm.min.mjs", "purify.min.js"):
            assert fetched(f"{address}/static/vendor/{name}")[0] == 200
        assert "export" in fetched(f"{address}/static/vendor/diff/diff/word.js")[1]
    assert f'"version":"{VERSION}"' in fetched(f"{address}/api/v1/openapi.json")[1].replace(" ", "")
