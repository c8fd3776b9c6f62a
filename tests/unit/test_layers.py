"""What each package may import; what is not named may not be imported.

The table is the plan of the house: what stands higher imports what stands lower, and there is no
circle. Change it only together with docs/architecture.md.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DRIVERS = {"motor", "pymongo", "bson", "gridfs"}
MAY_IMPORT: dict[str, str] = {
    "handlers": """
        handlers.api handlers.assets handlers.base handlers.interface handlers.realtime
        handlers.sockjs rtserver.interface
    """,
    "handlers.api": """
        handlers.base handlers.realtime rtserver.audit.live
        rtserver.audit.record rtserver.eventlog rtserver.interface
        rtserver.model rtserver.reviews rtserver.revisions rtserver.runs
        rtserver.runs.iteration rtserver.sessions
    """,
    "handlers.assets": """
        handlers.base
    """,
    "handlers.base": """
        rtserver.audit.live rtserver.audit.record rtserver.auth
        rtserver.eventlog rtserver.interface rtserver.lib rtserver.model
        rtserver.observe rtserver.reviews rtserver.revisions rtserver.runs
        rtserver.runs.iteration rtserver.runs.validation rtserver.sessions
    """,
    "handlers.interface": """
        handlers.base rtserver.lib rtserver.model
    """,
    "handlers.realtime": """
        handlers.base rtserver.audit.record rtserver.auth rtserver.delivery rtserver.lib
        rtserver.model rtserver.reviews rtserver.sessions
    """,
    "handlers.sockjs": """
        handlers.base handlers.realtime rtserver.audit.record rtserver.auth
        rtserver.delivery rtserver.lib rtserver.model rtserver.sessions
    """,
    "rtserver": """
        rtserver.cli
    """,
    "rtserver.app": """
        handlers handlers.base handlers.sockjs rtserver.audit.archive
        rtserver.audit.checkpoints
        rtserver.audit.live rtserver.audit.record rtserver.auth rtserver.config
        rtserver.delivery rtserver.demo rtserver.eventlog rtserver.git rtserver.interface
        rtserver.lib rtserver.model rtserver.observe rtserver.presence
        rtserver.reviews rtserver.revisions rtserver.runs rtserver.runs.files
        rtserver.runs.iteration rtserver.runs.llm rtserver.runs.process
        rtserver.runs.validation rtserver.sessions rtserver.watch rtserver.webhooks
        store.audit store.base store.documents store.log store.mongod store.watch
        store.webhooks
    """,
    "rtserver.app.operator": """
        rtserver.app rtserver.audit.record rtserver.config rtserver.eventlog rtserver.lib
        rtserver.model rtserver.webhooks store.audit store.base store.documents store.log
        store.webhooks
    """,
    "rtserver.audit.archive": """
        rtserver.audit.checkpoints rtserver.audit.record rtserver.lib rtserver.model
        rtserver.observe
    """,
    "rtserver.audit.checkpoints": """
        rtserver.audit.record rtserver.eventlog rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.audit.live": """
        rtserver.audit.record rtserver.delivery rtserver.eventlog rtserver.model
        rtserver.sessions
    """,
    "rtserver.audit.record": """
        rtserver.auth rtserver.eventlog rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.audit.verify": """
        rtserver.audit.checkpoints rtserver.audit.record rtserver.lib rtserver.model
    """,
    "rtserver.auth": """
        rtserver.model
    """,
    "rtserver.cli": """
        rtserver.app rtserver.app.operator rtserver.audit.archive rtserver.audit.checkpoints
        rtserver.audit.live
        rtserver.audit.record
        rtserver.audit.verify rtserver.auth rtserver.config rtserver.demo
        rtserver.eventlog rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.config": """
        rtserver.model
    """,
    "rtserver.delivery": """
        rtserver.eventlog rtserver.lib rtserver.model
    """,
    "rtserver.demo": """
        rtserver.lib rtserver.runs.files rtserver.runs.iteration
    """,
    "rtserver.eventlog": """
        rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.git": """
        rtserver.lib rtserver.model rtserver.runs.process
    """,
    "rtserver.interface": """
        rtserver.audit.live rtserver.eventlog rtserver.lib rtserver.model
        rtserver.presence rtserver.reviews rtserver.revisions rtserver.runs
        rtserver.sessions
    """,
    "rtserver.observe": """
        rtserver.model
    """,
    "rtserver.presence": """
        rtserver.delivery rtserver.eventlog rtserver.lib rtserver.model
        rtserver.sessions
    """,
    "rtserver.revisions": """
        rtserver.eventlog rtserver.git rtserver.lib rtserver.model rtserver.observe
        rtserver.reviews rtserver.runs.files rtserver.runs.process
    """,
    "rtserver.reviews": """
        rtserver.lib rtserver.model
    """,
    "rtserver.runs": """
        rtserver.audit.record rtserver.delivery rtserver.eventlog rtserver.lib rtserver.model
        rtserver.observe rtserver.reviews rtserver.sessions
    """,
    "rtserver.runs.files": """
        rtserver.lib rtserver.model
    """,
    "rtserver.runs.iteration": """
        rtserver.lib rtserver.model rtserver.reviews rtserver.revisions
        rtserver.runs rtserver.runs.files rtserver.runs.llm
        rtserver.runs.validation
    """,
    "rtserver.runs.llm": """
        rtserver.lib rtserver.observe
    """,
    "rtserver.runs.validation": """
        rtserver.lib rtserver.model rtserver.reviews rtserver.revisions rtserver.runs
        rtserver.runs.files rtserver.runs.process
    """,
    "rtserver.sessions": """
        rtserver.audit.record rtserver.auth rtserver.delivery rtserver.eventlog
        rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.watch": """
        rtserver.eventlog rtserver.lib rtserver.model rtserver.observe
    """,
    "rtserver.webhooks": """
        rtserver.eventlog rtserver.lib rtserver.model rtserver.observe
    """,
    "store.audit": """
        rtserver.audit.archive rtserver.audit.record rtserver.eventlog rtserver.model
        store.base store.log
    """,
    "store.base": """
        rtserver.eventlog rtserver.model
    """,
    "store.documents": """
        rtserver.audit.record rtserver.lib rtserver.model rtserver.reviews rtserver.revisions
        rtserver.runs store.base
    """,
    "store.log": """
        rtserver.eventlog rtserver.lib rtserver.model store.base
    """,
    "store.mongod": """
        rtserver.lib rtserver.runs.process
    """,
    "store.watch": """
        rtserver.model rtserver.watch store.base
    """,
    "store.webhooks": """
        rtserver.model rtserver.webhooks store.base
    """,
}
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for top in ("rtserver", "handlers", "store")
    for path in (REPOSITORY / top).rglob("*.py")
)


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {_name(path) for path in MODULES}


def _imported(source: str) -> set[str]:
    """The modules that are imported, anywhere in the code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(level=0, module=str(module), names=names):
                submodules = {f"{module}.{alias.name}" for alias in names} & NAMES
                found |= submodules or {module}
            case ast.ImportFrom():
                found.add("a relative import")
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    package = ".".join(path.parent.parts)
    allowed = {package, *MAY_IMPORT.get(package, "").split()}
    for module in _imported((REPOSITORY / path).read_text(encoding="utf-8")):
        top = module.partition(".")[0]
        if module in NAMES:
            own = (
                module
                if (REPOSITORY / module.replace(".", "/")).is_dir()
                else module.rpartition(".")[0]
            )
            assert own in allowed, module
        else:
            assert module != "a relative import"
            assert top not in DRIVERS or path.parts[0] == "store", module


def test_the_table_allows_no_more_than_is_imported() -> None:
    unused = {
        f"{package} imports {below}"
        for package, allowed in MAY_IMPORT.items()
        for below in allowed.split()
        if not any(
            module == below or module.rpartition(".")[0] == below
            for path in MODULES
            if ".".join(path.parent.parts) == package
            for module in _imported((REPOSITORY / path).read_text(encoding="utf-8"))
        )
    }
    assert not unused


def test_there_is_no_circle() -> None:
    TopologicalSorter(
        {package: set(below.split()) for package, below in MAY_IMPORT.items()}
    ).prepare()
