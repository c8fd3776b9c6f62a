"""Every metric and every message of the log has its line in the documents, and no line is stale."""

import ast
import functools
import re
from collections import defaultdict

from rtserver.app.foundation import WorkerMetrics
from tests.support.processes import ROOT

LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
}
LOGGERS = {"log", "_log"}
ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
BY_VARIABLE = [
    *("commit_committed", "commit_dropped", "commit_failed", "commit_no_repository"),
    *("commit_unchanged", "leases_not_released", "leases_not_renewed", "replay_failed"),
]
"""Messages whose names are put together where they are written, and so can't be found there."""


def documented(name: str) -> dict[str, tuple[str, ...]]:
    """The rows of a document's tables: by name what is in the second column."""
    rows = ROW.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))
    found = {name: tuple(filter(None, cell.strip().split(", "))) for name, cell, _ in rows}
    assert len(found) == len(rows), "a name has two rows"
    return found


def level_of(node: ast.AST) -> str | None:
    """Of `_log.info` and its like; None where it is something else."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in LOGGERS:
            return LEVELS.get(attr)
    return None


def levels_in(node: ast.AST) -> set[str]:
    return {level for one in ast.walk(node) if (level := level_of(one)) is not None}


@functools.cache
def messages() -> tuple[dict[str, set[str]], set[str]]:
    """The levels of each message that is named where it is written, and the modules of others."""
    named: dict[str, set[str]] = defaultdict(set)
    others: set[str] = set()
    for top in ("rtserver", "handlers", "store"):
        for path in (ROOT / top).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            chosen = {  # say = _log.info if ... else _log.debug
                target.id: levels_in(one.value)
                for one in ast.walk(tree)
                if isinstance(one, ast.Assign) and not isinstance(one.value, ast.Call)
                for target in one.targets
                if isinstance(target, ast.Name) and levels_in(one.value)
            }
            for call in ast.walk(tree):
                if not isinstance(call, ast.Call):
                    continue
                level = level_of(call.func)
                levels = {level} if level else chosen.get(getattr(call.func, "id", ""), set())
                match call.args[:1]:
                    case [ast.Constant(value=str(name))] if levels:
                        named[name] |= levels
                    case _ if levels:
                        others.add(path.name)
    return named, others


def test_every_metric_is_documented_with_its_labels() -> None:
    metrics = WorkerMetrics()
    for name in dir(metrics):
        getattr(metrics, name)  # some are made when they are first asked for
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name: {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in metrics.registry._registry.collect()
    }
    assert "rtserver_build_info" in found
    assert "rtserver_audit_archive_up" in found
    rows = documented("metrics.md")
    assert sorted(found.keys() - rows.keys()) == [], "write their lines"
    assert sorted(rows.keys() - found.keys()) == [], "they are no more"
    # Which series these have is known only with the settings.
    found["rtserver_watch_stalled_seconds"].add("watch")
    found["rtserver_audit_checkpoint_place_up"].add("place")
    for name in ("dead_letters_total", "gaps_total", "waiting_events", "failing_seconds"):
        found[f"rtserver_webhook_{name}"].add("endpoint")
    found["rtserver_webhook_attempts_total"] |= {"endpoint", "outcome"}
    assert {name: set(labels) for name, labels in rows.items()} == found


def test_every_message_is_documented_with_its_levels() -> None:
    named, _ = messages()
    assert len(named) > 100
    rows = documented("log.md")
    assert sorted(named.keys() - rows.keys()) == [], "write their lines"
    assert sorted(rows.keys() - named.keys() - set(BY_VARIABLE)) == [], "they are no more"
    assert {name: rows[name] for name in named} == {
        name: tuple(sorted(levels)) for name, levels in named.items()
    }


def test_messages_that_cannot_be_found_are_few() -> None:
    """Give a message its name where it is written: who meets it in a log looks for it there."""
    named, others = messages()
    assert set(BY_VARIABLE) <= documented("log.md").keys() - named.keys()
    assert sorted(others) == ["admission.py", "committing.py", "session.py"]


def test_settings_that_these_documents_name_are_there() -> None:
    named, known = (
        {
            name
            for document in documents
            for name in re.findall(r"RT_\w+", (ROOT / "docs" / document).read_text("utf-8"))
        }
        for documents in (("log.md", "metrics.md"), ("settings.md",))
    )
    assert sorted(named - known - {"RT_"}) == []
