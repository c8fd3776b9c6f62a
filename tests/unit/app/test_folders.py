"""`rtserver.app.folders`."""

from pathlib import Path

import pytest

from rtserver.app.folders import make_data_folder
from rtserver.model.errors import OperatorError
from tests.unit.app.parts import settings_of


def test_the_data_directory_is_made_with_all_above_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, data_dir=tmp_path / "a" / "b")
    make_data_folder(settings)
    make_data_folder(settings)
    assert settings.data_dir.is_dir()


def test_where_it_cannot_be_made_the_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="RT_DATA_DIR"):
        make_data_folder(settings_of(tmp_path, data_dir=tmp_path / "file" / "var"))
