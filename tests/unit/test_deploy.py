"""Every file in deploy/ is parsed and held against what it names: settings, metrics, runbooks."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import promql_parser
import pytest
import yaml

from rtserver.app.foundation import WorkerMetrics
from rtserver.config.env_file import read_env_file
from rtserver.config.settings import SETTING_SPECS, Settings
from rtserver.model.version import VERSION
from tests.support.helm import render
from tests.support.processes import ROOT
from tests.unit.test_documented import documented

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "rtserver"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ENV_FILES = sorted((DEPLOY / "systemd").glob("*.env"))
UNITS = sorted([*(DEPLOY / "systemd").glob("*.service"), *(DEPLOY / "systemd").glob("*.target")])
LOOKED_AT = {
    "Dockerfile",
    "compose.yaml",
    "compose/certificates.py",  # tests/support/guarded_mongod.py runs it
    "compose/env.example",
    "compose/initiate.py",  # likewise
    "grafana/rtserver.json",
    "helm/rtserver/Chart.yaml",
    "helm/rtserver/templates/network.yaml",
    "helm/rtserver/templates/workers.yaml",
    "helm/rtserver/values.schema.json",
    "helm/rtserver/values.yaml",
    "prometheus/rtserver.rules.yaml",
    *(f"systemd/{path.name}" for path in (*ENV_FILES, *UNITS)),
}


def files() -> list[Path]:
    return [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_no_file_goes_without_a_test() -> None:
    assert {str(path.relative_to(DEPLOY)) for path in files()} == LOOKED_AT


def test_every_setting_that_is_named_is_one() -> None:
    known = {spec.env_name for spec in SETTING_SPECS}
    for path in files():
        named = set(re.findall(r"\bRT_[A-Z0-9_]+\b", path.read_text(encoding="utf-8")))
        assert named <= known, path


@pytest.mark.parametrize("path", ENV_FILES, ids=lambda path: path.name)
def test_files_of_settings_can_be_read(path: Path) -> None:
    found = read_env_file(path)
    assert found
    # What is commented out is to be given a value.
    Settings.load(found, {})


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/rtserver/bin/rtserver", "/bin/true")
        (tmp_path / unit.name).write_text(text)
        if unit.suffix == ".service":
            assert "PartOf=rtserver.target" in text
    if program is None:
        pytest.skip("systemd-analyze is not here")
    made = sorted(str(tmp_path / unit.name) for unit in UNITS)
    done = subprocess.run(
        [program, "verify", "--man=no", *made], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_dockerfile_is_linted_and_runs_nothing_as_root() -> None:
    path = DEPLOY / "Dockerfile"
    program = shutil.which("hadolint", path=str(ROOT / ".venv" / "bin"))
    if program is not None:
        done = subprocess.run([program, path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")
    last = path.read_text().rpartition("\nFROM ")[2]
    for needed in ("USER 10001:10001", "HEALTHCHECK ", 'ENTRYPOINT ["rtserver"]'):
        assert needed in last
    ignored = (ROOT / ".dockerignore").read_text()
    for source in re.findall(r"^COPY (?!--from)(?:\. |)(\S+)", path.read_text(), re.MULTILINE):
        assert source == "." or f"!{source}" in ignored, source


def rules() -> list[dict[str, Any]]:
    loaded = load(DEPLOY / "prometheus" / "rtserver.rules.yaml")
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "rtserver.json").read_text())
    return list(board["panels"])


def labels_of_series() -> dict[str, set[str]]:
    """By the name of each series, as Prometheus has it, its labels."""
    families = WorkerMetrics().registry._registry.collect()
    histograms = {family.name for family in families if family.type == "histogram"}
    found: dict[str, set[str]] = {}
    for name, labels in documented("metrics.md").items():
        if name in histograms:
            found |= {f"{name}_{end}": {*labels} for end in ("count", "sum")}
            found[f"{name}_bucket"] = {*labels, "le"}
        else:
            found[name] = {*labels}
    return found


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """All in an expression, however deep."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (inner := getattr(node, name, None)) is not None and not isinstance(inner, str):
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def test_alerts_and_panels_ask_for_metrics_and_labels_that_there_are() -> None:
    known = labels_of_series()
    told_by_prometheus = {"job", "instance"}
    asked = [(rule["alert"], rule["expr"]) for rule in rules()]
    asked += [
        (panel["title"], target["expr"].replace("$__rate_interval", "5m"))
        for panel in panels()
        for target in panel["targets"]
    ]
    for title, expression in asked:
        found = list(selectors(promql_parser.parse(expression)))
        assert found, title
        for selector in found:
            if selector.name == "up":
                continue
            assert selector.name in known, (title, selector.name)
            by = {matcher.name for matcher in selector.matchers.matchers}
            assert by <= known[selector.name] | told_by_prometheus, (title, by)
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
        possible = set.union(*(known.get(one.name or "", set()) for one in found))
        assert grouped <= possible | told_by_prometheus, (title, grouped)


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    alerts = [rule["alert"] for rule in rules()]
    assert re.findall(r"^### (Rtserver\w+)$", OPERATIONS, re.MULTILINE) == alerts
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_the_dashboard_has_no_panel_over_another() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(places)


def test_compose_has_three_members_with_users_and_tls() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    members = [service for name, service in services.items() if name.startswith("mongo-")]
    assert len(members) == 3
    for number, service in enumerate(members):
        command = service["command"]
        assert "--keyFile=/certificates/keyfile" in command
        assert "--tlsMode=requireTLS" in command
        assert f"--tlsCertificateKeyFile=/certificates/mongo-{number}.pem" in command
        assert service["read_only"]
    asked = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert asked == set(read_env_file(DEPLOY / "compose" / "env.example"))
    for name in ("worker-0", "worker-1"):
        worker = services[name]
        assert worker["read_only"]
        environ = {
            key: re.sub(r"\$\{\w+:\?[^}]*\}", "x" * 32, value)
            for key, value in worker["environment"].items()
        }
        assert not Settings.load(environ, {}).unknown_environment
        assert worker["ports"][0].startswith("127.0.0.1:")


def chart_context(**values: Any) -> dict[str, Any]:
    given = load(CHART / "values.yaml")
    for path, value in values.items():
        *folders, name = path.split("__")
        place = given
        for folder in folders:
            place = place[folder]
        place[name] = value
    chart = load(CHART / "Chart.yaml")
    return {
        "Values": given,
        "Release": {"Name": "live"},
        "Chart": {"AppVersion": chart["appVersion"]},
    }


ALL_ON: dict[str, Any] = {
    "ingress__enabled": True,
    "serviceMonitor__enabled": True,
    "tlsSecret": "mongodb-ca",
    "workspacesClaim": "workspaces",
    "image__digest": "sha256:" + "0" * 64,
    "data__storageClassName": "fast",
}


@pytest.mark.parametrize("values", [{}, ALL_ON], ids=["default", "all on"])
def test_the_chart_renders_to_objects_that_fit_together(values: dict[str, Any]) -> None:
    context = chart_context(**values)
    assert context["Chart"]["AppVersion"] == VERSION
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(context["Values"])
    objects = [
        one
        for path in sorted((CHART / "templates").glob("*.yaml"))
        for one in yaml.safe_load_all(render(path.read_text(), context))
    ]
    kinds = [one["kind"] for one in objects]
    assert kinds.count("Ingress") == (2 if values else 0)
    assert kinds.count("ServiceMonitor") == (1 if values else 0)
    by_kind = {one["kind"]: one for one in objects}
    pods = by_kind["StatefulSet"]["spec"]
    labels = pods["template"]["metadata"]["labels"]
    assert pods["selector"]["matchLabels"] == labels
    names = {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
    assert pods["serviceName"] in names
    for one in objects:
        if one["kind"] == "Service":
            assert one["spec"]["selector"] == labels
    (container,) = pods["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    volumes = {volume["name"] for volume in pods["template"]["spec"]["volumes"]} | {"data"}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert container["image"] == (
        "rtserver@sha256:" + "0" * 64 if values else f"rtserver:{VERSION}"
    )
    settings = by_kind["ConfigMap"]["data"] | {
        one["name"]: one["value"] for one in container["env"]
    }
    assert not Settings.load(settings, {}).unknown_environment


def test_the_schema_of_the_charts_values_refuses_what_would_not_work() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    for path, value in (
        ("replicas", 0),
        ("replica", 2),
        ("settings__RT_JWT_SECRET", "open to all who read values"),
        ("settings__LOG_FORMAT", "json"),
        ("settings__RT_LEASE_S", 3),
        ("image__digest", "latest"),
        ("existingSecret", ""),
    ):
        assert not validator.is_valid(chart_context(**{path: value})["Values"]), path
