"""Imports point inward: handlers -> rtserver <- store.

Only `rtserver/app.py` knows all three; its parts, `rtserver/app_*.py`, know the store.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LAYERS = ("rtserver", "handlers", "store")
DRIVERS = ("motor", "pymongo", "bson", "gridfs")
COMPOSITION_ROOT = Path("rtserver/app.py")


def _imported(source: str, package: str) -> set[str]:
    """The top-level packages that a module of `package` imports, anywhere in its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(level=0, module=str(module)):
                found.add(module.partition(".")[0])
            case ast.ImportFrom():
                found.add(package)
            # `importlib.import_module("store.x")` would be a way around.
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.add(name.partition(".")[0])
    return found


def _forbidden(path: Path) -> tuple[str, ...]:
    """What a module may not import."""
    match path.parts[0]:
        case "handlers":
            return ("store", *DRIVERS)
        case "store":
            return ("handlers",)
        case _ if path == COMPOSITION_ROOT:
            return DRIVERS
        case _ if path.parent == COMPOSITION_ROOT.parent and path.name.startswith("app_"):
            return ("handlers", *DRIVERS)
        case _:
            return ("handlers", "store", *DRIVERS)


def _modules() -> list[Path]:
    return [
        path.relative_to(REPOSITORY)
        for layer in LAYERS
        for path in sorted((REPOSITORY / layer).rglob("*.py"))
    ]


def _violations(path: Path, source: str) -> set[str]:
    return _imported(source, path.parts[0]) & set(_forbidden(path))


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_a_module_imports_inward_only(path: Path) -> None:
    assert not _violations(path, (REPOSITORY / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_looked_at(layer: str) -> None:
    assert any(path.parts[0] == layer for path in _modules())


@pytest.mark.parametrize(
    ("path", "source", "seen"),
    [
        ("rtserver/hub.py", "import store.event_log", {"store"}),
        ("rtserver/hub.py", "from handlers import sse as _sse", {"handlers"}),
        ("rtserver/hub.py", "def f():\n    import bson", {"bson"}),
        ("rtserver/hub.py", "from pymongo.errors import PyMongoError", {"pymongo"}),
        ("rtserver/hub.py", "import importlib\nimportlib.import_module('store.x')", {"store"}),
        ("rtserver/hub.py", "if TYPE_CHECKING:\n    from store.log import Log", {"store"}),
        ("rtserver/app.py", "from store import a\nfrom handlers import b", set()),
        ("rtserver/app.py", "import motor.motor_asyncio", {"motor"}),
        ("rtserver/app_log.py", "from store import a\nfrom handlers import b", {"handlers"}),
        ("rtserver/app_log.py", "import motor.motor_asyncio", {"motor"}),
        ("rtserver/sub/app_log.py", "import store", {"store"}),
        ("rtserver/applause.py", "import store", {"store"}),
        ("rtserver/sub/app.py", "import store", {"store"}),
        ("handlers/sse.py", "from store import event_log", {"store"}),
        ("handlers/sse.py", "from rtserver import hub\nfrom . import problem", set()),
        ("store/event_log.py", "from handlers import sse", {"handlers"}),
        ("store/event_log.py", "import bson\nfrom rtserver import events", set()),
    ],
)
def test_the_check_sees_what_it_should(path: str, source: str, seen: set[str]) -> None:
    assert _violations(Path(path), source) == seen


def test_openai_is_loaded_only_where_a_model_is_configured() -> None:
    """It would cost every worker 33 MB."""
    code = "import sys, rtserver.cli; sys.exit(bool({'openai', 'aiohttp'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60, check=False)
    assert loaded.returncode == 0
