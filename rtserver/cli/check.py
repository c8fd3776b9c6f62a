"""`check`: tries the settings, and says what is wrong and how to mend it."""

from rtserver.app.check import findings
from rtserver.config.settings import Settings


async def check(settings: Settings) -> int:
    """Print a line for each part; 0 where all is well, else 1."""
    failed = False
    async for part, found in findings(settings):
        failed = failed or bool(found.problems)
        notes = f" ({'; '.join(found.notes)})" if found.notes else ""
        print(f"{part}: {'' if found.problems else 'ok'}{notes}".rstrip())
        for problem in found.problems:
            print(f"  - {problem}")
    return 1 if failed else 0
