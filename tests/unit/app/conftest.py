"""Fixtures of the tests of what a worker is built of."""

from pathlib import Path

import pytest

from rtserver.config.settings import Settings
from tests.support.mongo import MongodProcess
from tests.unit.app.parts import settings_of


@pytest.fixture
def settings(mongod: MongodProcess, database: str, tmp_path: Path) -> Settings:
    """Of a worker on the test's own database."""
    return settings_of(tmp_path, mongodb_uri=mongod.uri, mongodb_database=database)


@pytest.fixture
def full_settings(mongod: MongodProcess, database: str, tmp_path: Path) -> Settings:
    """Of one with every part that a worker can have."""
    return settings_of(
        tmp_path,
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        audit_archive_dir=tmp_path / "archive",
        jwt_jwks_url="http://127.0.0.1:1/keys",
        jwt_algorithms="RS256,HS256",
    )
