"""Retries that a test need not wait for."""

import pytest

from rtserver.runs.llm import client as llm


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "RETRY_S", 0.01)
