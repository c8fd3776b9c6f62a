"""Each module has its unit tests where a newcomer looks first: in the mirror of the tree.

A module in which nothing is decided (types, ports, metrics) needs none. The others that have no
unit test of their own stand in `tests/unit/without_tests.txt`; other tests, the integration tests
above all, go through them. That list only shrinks: write the test rather than add a line.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("without_tests.txt")
MOST = 81
"""As many lines as the list may have; lower it with each that goes."""


DECIDES = (
    *(ast.If, ast.IfExp, ast.BoolOp, ast.For, ast.AsyncFor, ast.While, ast.Match, ast.Try),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def _decides(path: Path) -> bool:
    """Whether anything that a module does can go in more ways than one."""
    return any(
        isinstance(node, DECIDES)
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    )


def _test_of(path: Path) -> Path:
    folders = path.parent.parts[1:] if path.parts[0] == "rtserver" else path.parent.parts
    return Path("tests/unit", *folders, f"test_{path.name}")


def test_the_list_of_modules_without_unit_tests_only_shrinks() -> None:
    modules = [
        path.relative_to(ROOT)
        for top in ("rtserver", "handlers", "store")
        for path in (ROOT / top).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    ]
    without = {
        str(path)
        for path in modules
        if not (ROOT / _test_of(path)).exists() and _decides(ROOT / path)
    }
    listed = LIST.read_text(encoding="utf-8").split()
    assert without - set(listed) == set(), "write their tests"
    assert set(listed) - without == set(), (
        "they have tests now, or are gone: take them off the list"
    )
    assert listed == sorted(listed)
    assert len(listed) <= MOST


def test_each_unit_test_is_of_a_module_or_stands_in_its_package() -> None:
    packages = {
        str(_test_of(path.relative_to(ROOT)).parent)
        for top in ("rtserver", "rtserver_client", "handlers", "store")
        for path in (ROOT / top).rglob("*.py")
    }
    astray = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests/unit").rglob("test_*.py")
        if str(path.parent.relative_to(ROOT)) not in packages
    }
    assert astray == set()
