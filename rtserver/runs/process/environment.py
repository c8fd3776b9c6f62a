"""The environment of the programs that the server starts for a proposal."""

import os
from pathlib import Path


def tool_environment(server_root: Path) -> dict[str, str]:
    """What a program gets to see: no setting of the server, and so no secret of it.

    Args:
        server_root: folder that may have `node_modules/.bin`, which comes first on the PATH.
    """
    tools = server_root.resolve() / "node_modules" / ".bin"
    return {
        "PATH": os.pathsep.join([str(tools), os.environ.get("PATH") or os.defpath]),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "OPENSPEC_TELEMETRY": "0",
    }
