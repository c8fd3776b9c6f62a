"""`rtserver.app.tokens`."""

import asyncio
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rtserver.app.tokens import (
    SECRET_FILE,
    kept_secret,
    key_set,
    signing_secret,
    token_signer,
    token_verifier,
)
from rtserver.auth.tokens import KeyConfigurationError
from rtserver.model.errors import OperatorError
from tests.support.processes import ROOT
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


def test_the_documented_script_makes_a_token_that_is_taken(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    environ = {**os.environ, "RT_JWT_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    verifier = token_verifier(settings_of(tmp_path), SECRET, None)
    identity = asyncio.run(verifier.verify(done.stdout.strip()))
    assert identity.user_id == "ada"
    assert identity.projects == {"demo"}
    assert identity.is_service


def test_own_names_of_claims_are_signed_and_read(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, jwt_roles_claim="https://example.org/roles")
    signed = token_signer(settings, SECRET).sign("ada", roles=["admin"], ttl_s=60)
    identity = asyncio.run(token_verifier(settings, SECRET, None).verify(signed))
    assert identity.is_admin


def test_every_setting_of_tokens_is_explained() -> None:
    declared = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    explained = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    assert set(re.findall(r"RT_JWT_\w+", declared)) == set(re.findall(r"RT_JWT_\w+", explained))
