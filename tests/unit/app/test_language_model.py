"""`rtserver.app.language_model`."""

from pathlib import Path

import pytest

from rtserver.app.language_model import build_language_model
from tests.support.recorder import LogRecorder
from tests.unit.app.parts import foundation, settings_of

ADDRESS = {"llm_base_url": "http://127.0.0.1:1/v1"}


@pytest.mark.gen_test
async def test_without_settings_there_is_none(tmp_path: Path, logs: LogRecorder) -> None:
    async with foundation(settings_of(tmp_path)) as base:
        assert build_language_model(base, demo=False) is None
    assert logs.lines == []


@pytest.mark.gen_test
async def test_an_address_without_a_name_is_said(tmp_path: Path, logs: LogRecorder) -> None:
    async with foundation(settings_of(tmp_path, **ADDRESS)) as base:
        assert build_language_model(base, demo=False) is None
    assert [line["event"] for line in logs.lines] == ["iterations_off"]


@pytest.mark.gen_test
async def test_the_settings_name_one(tmp_path: Path) -> None:
    async with foundation(settings_of(tmp_path, llm_model="large", **ADDRESS)) as base:
        model = build_language_model(base, demo=True)
        assert model is not None
        assert not model.is_demo


@pytest.mark.gen_test
async def test_the_demo_has_a_stand_in_that_answers(tmp_path: Path) -> None:
    async with foundation(settings_of(tmp_path)) as base:
        model = build_language_model(base, demo=True)
        assert model is not None
        assert model.is_demo
        assert (await model.try_out()).problem is None
