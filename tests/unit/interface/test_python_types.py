"""The Python client's types are those of the interface."""

from rtserver.interface.python_types import render
from rtserver.model.version import VERSION
from tests.support.processes import ROOT

CLIENT = ROOT / "rtserver_client"


def test_the_committed_types_are_those_of_the_messages() -> None:
    assert (CLIENT / "frames.py").read_text("utf-8") == render(), "run `make docs`"


def test_the_client_has_the_version_of_the_server() -> None:
    assert f'\nversion = "{VERSION}"\n' in (CLIENT / "pyproject.toml").read_text("utf-8")
