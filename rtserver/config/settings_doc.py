"""`docs/settings.md`, made from the declarations in `rtserver.config.declarations`."""

import sys

from rtserver.config.engine import SettingSpec
from rtserver.config.kinds import format_bytes
from rtserver.config.settings import SETTING_SPECS

_INTRODUCTION = """\
# Settings

<!-- Generated from rtserver/config/*declarations.py by `make docs`. Change it there. -->

Each setting is an environment variable and a flag of `python -m rtserver serve`. A flag wins over
the environment, the environment over the default. An empty value means "not set", except where
noted. Units are in the name: `_S` is seconds, `_BYTES` is bytes. A wrong value stops the server at
start with exit status 2 and one line that says what is allowed; an `RT_` variable that is not
listed here is reported in the log, with the name that was probably meant.

Give secrets in the environment: a flag can be read in the process list.
"""


def render_markdown() -> str:
    """The whole of `docs/settings.md`, ending in one line end."""
    parts = [_INTRODUCTION]
    section = ""
    for spec in SETTING_SPECS:
        if spec.section != section:
            section = spec.section
            parts.append(
                f"\n## {section}\n\n"
                "| Variable and flag | Default | Takes | Why |\n"
                "| --- | --- | --- | --- |\n"
            )
        cells = (
            f"`{spec.env_name}`<br>`{spec.flag}`",
            _default(spec),
            spec.kind.allowed,
            spec.reason,
        )
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def _default(spec: SettingSpec) -> str:
    if spec.unset:
        return spec.unset
    if spec.kind.unit == "bytes" and isinstance(spec.default, int):
        return format_bytes(spec.default)
    if isinstance(spec.default, float):
        return f"{spec.default:g} {spec.kind.unit}"
    return f"{spec.default}"


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
