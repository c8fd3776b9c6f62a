"""Moments as texts in RFC 3339, UTC, with milliseconds."""

import functools
import time
from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """A moment as in the `ts` of frames: RFC 3339 section 5.6, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def present_moment() -> datetime:
    """The present moment in the precision that frames and MongoDB keep: milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@functools.lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


def now_rfc3339() -> str:
    """The present moment as in the `ts` of frames. It is asked for thousands of times a second."""
    second, number = divmod(time.time_ns() // 1_000_000, 1000)
    return _second_text(second) + _MILLISECONDS[number]
