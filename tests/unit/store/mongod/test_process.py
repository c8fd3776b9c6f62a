"""The parts of the private mongod that need no mongod: finding it, its directory, its log."""

from pathlib import Path

import pytest

from store.mongod.process import PrivateMongod


def test_cache_below_mongods_own_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="256 MiB"):
        PrivateMongod(tmp_path, cache_mib=255)
