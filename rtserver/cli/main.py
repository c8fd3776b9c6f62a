"""The command line: `python -m rtserver COMMAND`, where `--help` lists the commands.

Exit status 0 on success, 2 for a wrong command line or setting (one clear line), 1 for a failure.
"""

import argparse
import asyncio
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import UNSET

from rtserver.app.tokens import signing_secret
from rtserver.audit.live.filter import PARAMETERS, AuditFilter
from rtserver.audit.live.messages import MAX_HISTORY
from rtserver.auth.jwks import KeyConfigurationError
from rtserver.cli.audit import AuditListing, audit
from rtserver.cli.audit_key import audit_key
from rtserver.cli.audit_verify import Verification, verify
from rtserver.cli.check import check
from rtserver.cli.command_line import (
    FAILURE,
    SUCCESS,
    USAGE,
    Parser,
    add_server_flags,
    complain,
)
from rtserver.cli.log_epoch import new_epoch
from rtserver.cli.log_resize import LOGS, resize
from rtserver.cli.master import MASTER_HELP
from rtserver.cli.publish import STDIN, PublishRequest, publish
from rtserver.cli.serve import serve, shared_mongod
from rtserver.cli.size import Load, size
from rtserver.cli.tail import tail
from rtserver.cli.tail_url import RemoteProject, tail_url
from rtserver.cli.token import token
from rtserver.cli.webhooks import WEBHOOK_ACTIONS, webhooks
from rtserver.config.engine import SettingError, flags_of
from rtserver.config.settings import SETTING_SPECS, Settings
from rtserver.eventlog.history import EventFilter
from rtserver.eventlog.publishing import PublishedEvent, UsersAudience
from rtserver.model.errors import (
    InvalidError,
    OperatorError,
    RefusedError,
    StoreUnavailableError,
    UnusableSettingError,
)
from rtserver.model.identity import EVERY_PROJECT
from rtserver.model.ids import BadIdentifier, event_type, project_id, proposal_id
from rtserver.model.positions import BadPositionError, Position
from rtserver.model.texts import user_id
from rtserver.observe.log_output import configure_logs

BROKEN_PIPE = 128 + 13
AUDIT_VERIFY = "audit verify"
AUDIT_KEY = "audit key"
LOG_RESIZE = "log resize"
LOG_NEW_EPOCH = "log new-epoch"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rtserver", description="The real-time server for proposal reviews."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    add_server_flags(commands.add_parser("serve", help="run one worker"))
    # For the list of commands: it is carried out without all that is imported here.
    commands.add_parser("master", help=MASTER_HELP)

    one = commands.add_parser("token", help="print a signed token")
    one.add_argument("--user", type=_user, required=True, help="user id, the claim `sub`")
    one.add_argument("--name", help="the name shown to people")
    one.add_argument(
        "--project",
        type=_project_or_all,
        action="append",
        default=[],
        help="may be repeated; * for all",
    )
    one.add_argument(
        "--role", action="append", default=[], choices=["admin", "service"], help="may be repeated"
    )
    one.add_argument("--ttl", type=_positive, default=3600, metavar="SECONDS")

    _add_publish(commands.add_parser("publish", help="append events to a project"))

    one = commands.add_parser("tail", help="print a project's events as they come")
    one.add_argument("project", type=_checked(project_id))
    one.add_argument(
        "--url", help="of a server, instead of its MongoDB; the token is read from RTSERVER_TOKEN"
    )
    one.add_argument("--from", dest="from_id", type=_position, help="begin after this event id")
    one.add_argument(
        "--type", action="append", default=[], help="only these; * at the end matches a prefix"
    )
    one.add_argument(
        "--proposal",
        action="append",
        default=[],
        type=_checked(proposal_id),
        help="only what concerns these",
    )
    one.add_argument(
        "--no-follow", action="store_true", help="print what there is, from the oldest, and end"
    )

    _add_audit(commands.add_parser("audit", help="read or follow the audit log"))
    _add_verify(
        commands.add_parser(
            AUDIT_VERIFY, help="find audit records that were changed, removed or inserted"
        )
    )

    one = commands.add_parser(
        AUDIT_KEY, help="make or show the key that checkpoints are signed with"
    )
    one.add_argument("--new", metavar="NAME", help="make one of this name: audit.example.com")
    one.add_argument("--file", type=Path, help="where, unless RT_AUDIT_SIGNING_KEY_FILE says it")

    one = commands.add_parser(LOG_RESIZE, help="give a log the size that its setting says")
    one.add_argument("log", choices=list(LOGS), help=f"by {', '.join(LOGS.values())}")
    one.add_argument("--shrink", action="store_true", help="also where its oldest have to go")
    one = commands.add_parser(
        LOG_NEW_EPOCH, help="say that a log was put back: its positions of before hold no more"
    )
    one.add_argument("log", nargs="?", default="events", choices=list(LOGS))

    one = commands.add_parser("webhooks", help="show webhooks, send dead letters again")
    one.add_argument("action", choices=WEBHOOK_ACTIONS)
    one.add_argument("endpoint", nargs="?", help="its id in RT_WEBHOOKS; status is of all")

    _add_size(commands.add_parser("size", help="how large logs and workers should be for a load"))
    commands.add_parser("check", help="try the settings and say what is wrong")
    commands.add_parser("mongod", help="run the private MongoDB for all workers of this host")
    return parser


def _add_size(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--events-per-s", type=_amount(0, 1e6), required=True, help="published, on average"
    )
    one.add_argument(
        "--event-bytes", type=_amount(0, 2**24), required=True, help="of an event's data"
    )
    one.add_argument(
        "--hours", type=_amount(0, 1e5), required=True, help="how far back clients can resume"
    )
    one.add_argument(
        "--connections", type=_amount(0, 1e7), required=True, help="open at once, of all workers"
    )
    one.add_argument(
        "--viewers", type=_amount(0, 1e7), help="of the connections get each event; all"
    )


def _add_publish(one: argparse.ArgumentParser) -> None:
    one.add_argument("project", type=_checked(project_id))
    one.add_argument(
        "type",
        type=_type_or_stdin,
        help="a dotted type: build.finished. Or -: events come on standard input, one JSON object "
        'a line, {"type":...,"data":...,"proposal_id":...,"audience":...} or {"events":[...]}',
    )
    one.add_argument("data", nargs="?", type=_json, default=UNSET, help="its data, as JSON")
    one.add_argument("--key", help="idempotency key: a second publication under it does nothing")
    one.add_argument("--proposal", type=_checked(proposal_id), help="the proposal that it concerns")
    one.add_argument(
        "--audience",
        choices=["project", "proposal"],
        help="who gets it; the proposal's viewers where there is one, else the project",
    )
    one.add_argument(
        "--user",
        type=_user,
        action="append",
        default=[],
        help="only this user gets it; may be repeated",
    )


def _add_audit(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--action", action="append", default=[], help="only these; * at the end matches a prefix"
    )
    one.add_argument("--actor", help="only what this user did")
    one.add_argument("--project-id", "--project", help="only what concerns this project")
    one.add_argument("--target", help="only what was done to this")
    one.add_argument("--outcome", help="allowed, denied or failed")
    one.add_argument(
        "--log",
        choices=["users", "strangers"],
        default="users",
        help="strangers: what was refused to clients without a valid token",
    )
    one.add_argument("--since", help="only from this time on: 2026-01-31T14:00:00Z")
    one.add_argument("--until", help="only before this time")
    one.add_argument(
        "--history", type=_count, metavar="N", help="only the newest N that match, and what follows"
    )
    one.add_argument("--from", dest="from_id", type=_position, help="begin after this record's id")
    one.add_argument("--follow", action="store_true", help="go on with the records that come")
    one.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_verify(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "paths", nargs="*", type=_existing, metavar="FILE_OR_DIR", help="archives, beside the log"
    )
    one.add_argument("--offline", action="store_true", help="only the archives, not MongoDB")
    one.add_argument(
        "--against", type=_existing, metavar="REPORT", help="what verify --json printed earlier"
    )
    one.add_argument("--json", action="store_true", help="a report for programs")
    one.add_argument(
        "--keys",
        type=_existing,
        action="append",
        default=[],
        metavar="FILE",
        help="public keys of signed checkpoints, as `audit key` prints them; may be repeated",
    )
    one.add_argument(
        "--checkpoints",
        type=_existing,
        action="append",
        default=[],
        metavar="FILE_OR_DIR",
        help="checkpoints that were kept outside; may be repeated",
    )
    one.add_argument(
        "--prove",
        type=_position,
        metavar="ID",
        help="print what shows that this record was signed, if all is clean",
    )


def _audit_query(given: argparse.Namespace) -> AuditListing:
    """What `audit` was asked for.

    Raises:
        UsageError: a filter has a value that it can't have.
    """
    single = {name: getattr(given, name) for name in PARAMETERS if name != "action"}
    filters = {name: [value] for name, value in single.items() if value is not None}
    if given.action:
        filters["action"] = given.action
    if given.history is not None and given.from_id is not None:
        raise UsageError("audit: give --history or --from, not both")
    try:
        wanted = AuditFilter.make(filters)
    except InvalidError as error:
        raise UsageError(f"audit: {error}") from None
    of_strangers = given.log == "strangers"
    return AuditListing(
        wanted, given.history, given.from_id, given.follow, given.json, of_strangers
    )


def _verification(given: argparse.Namespace, settings: Settings) -> Verification:
    """What `audit verify` was asked for.

    Raises:
        UsageError: there is nothing to look at, or it is gone.
    """
    archive = settings.audit_archive_dir
    if not given.paths and archive is not None and not archive.is_dir():
        raise UsageError(f"audit verify: there is no directory {archive}, see RT_AUDIT_ARCHIVE_DIR")
    paths = given.paths or ([] if archive is None else [archive])
    if given.offline and not paths:
        raise UsageError("audit verify: --offline needs archives to read")
    return Verification(
        tuple(paths),
        given.offline,
        given.against,
        given.json,
        tuple(given.keys),
        tuple(given.checkpoints),
        given.prove,
    )


def _publication(given: argparse.Namespace) -> PublishRequest:
    """What `publish` was asked for.

    Raises:
        UsageError: options that contradict each other.
    """
    if given.type == STDIN:
        if given.data is not UNSET or given.proposal or given.audience or given.user:
            raise UsageError("publish: with -, each line says its data, proposal and audience")
        return PublishRequest(given.project, None, given.key)
    if given.audience is not None and given.user:
        raise UsageError("publish: give --audience or --user, not both")
    if given.audience == "proposal" and given.proposal is None:
        raise UsageError("publish: --audience proposal needs --proposal")
    data = {} if given.data is UNSET else given.data
    audience = UsersAudience(given.user) if given.user else given.audience
    event = PublishedEvent(given.type, data, given.proposal, audience)
    return PublishRequest(given.project, event, given.key)


def _load(given: argparse.Namespace) -> Load:
    viewers = None if given.viewers is None else int(given.viewers)
    connections = int(given.connections)
    event_bytes = int(given.event_bytes)
    return Load(given.events_per_s, event_bytes, given.hours, connections, viewers)


class UsageError(Exception):
    """The command line contradicts itself."""


def _type_or_stdin(text: str) -> str:
    return text if text == STDIN else _checked(event_type)(text)


def _user(text: str) -> str:
    try:
        return user_id("a user id", text)
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _project_or_all(text: str) -> str:
    return text if text == EVERY_PROJECT else _checked(project_id)(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError("takes a whole number of seconds above 0")
    return int(text)


def _amount(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            amount = float(text)
        except ValueError:
            amount = math.nan
        if not lowest <= amount <= highest:
            raise argparse.ArgumentTypeError(f"takes a number from {lowest:g} to {highest:g}")
        return amount

    return parse


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MAX_HISTORY:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 to {MAX_HISTORY}")
    return int(text)


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text!a}")
    return path


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from None


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except BadPositionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _checked(check_id: Callable[[str], str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            return check_id(text)
        except BadIdentifier as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run a command; its exit status.

    Args:
        arguments: the command and its arguments.
        environ: where the settings are.
    """
    try:
        first_words = " ".join(arguments[:2])
        if first_words in (AUDIT_VERIFY, AUDIT_KEY, LOG_RESIZE, LOG_NEW_EPOCH):
            arguments = [first_words, *arguments[2:]]
        given = _parser().parse_args(arguments)
    except SystemExit as stop:
        return SUCCESS if stop.code == 0 else USAGE
    if given.command == "size":
        return size(_load(given))
    try:
        flags = flags_of(given, SETTING_SPECS) if given.command == "serve" else {}
        settings = Settings.load(environ, flags)
        configure_logs(settings.log_format, settings.log_level, settings.secrets)
        return _run(given, settings, lambda: Settings.load(environ, flags))
    except (SettingError, UnusableSettingError, KeyConfigurationError, UsageError) as error:
        return complain(str(error), USAGE)
    except BrokenPipeError:
        # Who read it, `head` perhaps, has seen enough. What is left must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (RefusedError, StoreUnavailableError, OperatorError, OSError) as error:
        return complain(str(error), FAILURE)
    except KeyboardInterrupt:
        return 130


def _tail(given: argparse.Namespace, settings: Settings) -> int:
    wanted, follow = (
        EventFilter(frozenset(given.type), frozenset(given.proposal)),
        not given.no_follow,
    )
    if given.url is None:
        return asyncio.run(tail(settings, given.project, given.from_id, wanted, follow=follow))
    remote = RemoteProject(given.url, os.environ.get("RTSERVER_TOKEN", ""), given.project)
    begin = None if given.from_id is None else str(given.from_id)
    return asyncio.run(tail_url(remote, begin, wanted, follow=follow))


def _run(given: argparse.Namespace, settings: Settings, reread: Callable[[], Settings]) -> int:
    match given.command:
        case "serve":
            secret = signing_secret(settings, demo=given.demo)
            return asyncio.run(
                serve(
                    settings,
                    secret=secret,
                    demo=given.demo,
                    test_endpoints=given.test_endpoints,
                    reread=reread,
                )
            )
        case "token":
            print(token(settings, given.user, given.name, given.project, given.role, given.ttl))
            return SUCCESS
        case "publish":
            return asyncio.run(publish(settings, _publication(given)))
        case "tail":
            return _tail(given, settings)
        case "audit verify":
            return asyncio.run(verify(settings, _verification(given, settings)))
        case "audit key":
            return audit_key(settings, given.new, given.file)
        case "audit":
            return asyncio.run(audit(settings, _audit_query(given)))
        case "log resize":
            return asyncio.run(resize(settings, given.log, shrink=given.shrink))
        case "log new-epoch":
            return asyncio.run(new_epoch(settings, given.log))
        case "webhooks":
            return asyncio.run(webhooks(settings, given.action, given.endpoint))
        case "check":
            return asyncio.run(check(settings))
        case _:
            return asyncio.run(shared_mongod(settings))
