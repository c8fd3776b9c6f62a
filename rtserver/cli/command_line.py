"""What the commands have in common: exit statuses, a parser, the flags of a server, complaints."""

import argparse
import sys
from typing import NoReturn

from rtserver.config.engine import add_flags
from rtserver.config.settings import SETTING_SPECS, Settings

SUCCESS, FAILURE, USAGE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage of `serve` alone would fill a screen."""

    def error(self, message: str) -> NoReturn:
        """End with the message and where to read more."""
        self.exit(USAGE, f"rtserver: {' '.join(message.split())}; see {self.prog} --help\n")


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Take what `serve` takes."""
    parser.add_argument("--demo", action="store_true", help="add the demo project")
    parser.add_argument(
        "--test-endpoints",
        action="store_true",
        help="add echo endpoints for protocol test suites: not for production",
    )
    add_flags(parser, SETTING_SPECS)


def cannot_listen(settings: Settings, error: OSError) -> str:
    """What an operator is told where a server can't have its address."""
    return (
        f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
        "set RT_PORT or RT_HOST to a free address of this host"
    )


def complain(message: str, status: int) -> int:
    """Say what is wrong, in one line; the exit status."""
    print(f"rtserver: {message}", file=sys.stderr)
    return status
