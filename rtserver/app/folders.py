"""Folders: the server's own, its data directory, and the workspaces of proposals."""

import asyncio
import math
import os
from dataclasses import dataclass

from rtserver.app.foundation import Foundation
from rtserver.config.settings import Settings
from rtserver.demo.project import DEMO_PROJECT_ID, SLOW_PROPOSAL_ID, SLOWLY
from rtserver.lib.data_folder import make_folder
from rtserver.lib.server_root import SERVER_ROOT
from rtserver.model.errors import OperatorError
from rtserver.runs.files.schema import shared_schema_folders
from rtserver.runs.files.write import ProposalWriter
from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.validation.validator import Validator

MAX_REPORT_BYTES = 512 * 1024


def make_data_folder(settings: Settings) -> None:
    """Make the data directory where it is not there yet, before anybody makes a folder in it.

    Raises:
        OperatorError: it can't be made, or not be written to.
    """
    directory = settings.data_dir
    try:
        make_folder(directory, settings.folder_mode)
    except OSError as error:
        raise OperatorError(
            f"cannot make the data directory {directory} ({error.strerror}): "
            "set RT_DATA_DIR to one that can be written to"
        ) from error
    if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        raise OperatorError(
            f"{directory} is no directory that this account can write to: give it to the account, "
            "or set RT_DATA_DIR to another one"
        )


@dataclass(frozen=True, slots=True)
class Workspaces:
    """The ways to the files of proposals."""

    validator: Validator
    writer: ProposalWriter


def tool_limits(settings: Settings) -> ToolLimits:
    """What the validator and the tools beside it may take of the machine."""
    return ToolLimits(
        address_space_bytes=settings.validation_address_space_bytes,
        memory_bytes=settings.validation_memory_bytes,
        processes=settings.validation_processes,
        file_bytes=settings.validation_file_bytes,
        cpu_s=math.ceil(settings.validation_cpu_s),
    )


def validator_of(settings: Settings, *, demo: bool = False) -> Validator:
    """The validator that the settings ask for.

    Args:
        settings: which command it is, and what it may take.
        demo: one of the demo's proposals is to be watched.
    """
    return Validator(
        settings.validation_command,
        settings.validation_report_command,
        settings.validation_timeout_s,
        settings.workspaces_dir,
        SERVER_ROOT,
        limits=tool_limits(settings),
        # A report is one event, and one event must fit into every viewer's outbox.
        max_report_bytes=min(MAX_REPORT_BYTES, settings.outbox_bytes // 2),
        run_by={(DEMO_PROJECT_ID, SLOW_PROPOSAL_ID): SLOWLY} if demo else None,
    )


async def build_workspaces(base: Foundation, *, demo: bool = False) -> Workspaces:
    """Make them, and settle what a killed worker left of a revision."""
    validator = validator_of(base.settings, demo=demo)
    writer = ProposalWriter(
        base.settings.workspaces_dir, shared_schema_folders(validator.openspec())
    )
    await asyncio.to_thread(writer.settle_all)
    return Workspaces(validator, writer)
