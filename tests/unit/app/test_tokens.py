"""`rtserver.app.tokens`."""

import stat
from pathlib import Path

import pytest

from rtserver.app.tokens import SECRET_FILE, kept_secret, key_set, signing_secret, token_verifier
from rtserver.auth.tokens import KeyConfigurationError
from rtserver.model.errors import OperatorError
from tests.support.tokens import SECRET, token
from tests.unit.app.parts import settings_of

NO_SECRET = {"jwt_secret": ""}


def test_the_configured_secret_wins(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert signing_secret(settings, demo=True) == kept_secret(settings) == SECRET
    assert not settings.data_dir.exists()


def test_without_any_key_only_the_demo_starts(tmp_path: Path) -> None:
    with pytest.raises(KeyConfigurationError, match="RT_JWT_SECRET"):
        signing_secret(settings_of(tmp_path, **NO_SECRET), demo=False)


def test_a_key_set_needs_no_secret(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, jwt_jwks_url="http://127.0.0.1:1/keys", **NO_SECRET)
    assert signing_secret(settings, demo=True) is None
    assert key_set(settings) is not None


def test_the_demo_makes_its_secret_once_and_for_itself(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, **NO_SECRET)
    assert kept_secret(settings) is None
    made = signing_secret(settings, demo=True)
    assert signing_secret(settings, demo=True) == kept_secret(settings) == made
    assert stat.S_IMODE((settings.data_dir / SECRET_FILE).stat().st_mode) == 0o600


def test_where_the_demo_cannot_keep_it_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    with pytest.raises(OperatorError, match="var"):
        signing_secret(settings_of(tmp_path, **NO_SECRET), demo=True)


@pytest.mark.gen_test
async def test_what_the_secret_signs_is_verified(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert key_set(settings) is None
    identity = await token_verifier(settings, SECRET, None).verify(token("ada"))
    assert identity.user_id == "ada"
