"""Locks on open files."""

import os
import threading
from pathlib import Path

from rtserver.lib.file_lock import flock_within, try_flock


def test_one_has_it_or_several_who_only_look(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR) for _ in range(2))
    assert try_flock(first, exclusive=False)
    assert try_flock(second, exclusive=False)
    assert not try_flock(first)
    os.close(second)
    assert try_flock(first)
    third = os.open(tmp_path / "lock", os.O_RDWR)
    assert not try_flock(third, exclusive=False)
    assert not flock_within(third, 0)
    threading.Timer(0.05, os.close, [first]).start()
    assert flock_within(third, 60)
    os.close(third)
