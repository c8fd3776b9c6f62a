"""The settings of runs, of the language model and of logs; see `rtserver.config.declarations`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtserver.config.declarations import Declarations
from rtserver.config.engine import (
    setting,
)
from rtserver.config.kinds import (
    ANY_TEXT,
    COMMAND,
    GIB,
    KIB,
    MIB,
    PATH,
    TIB,
    WEB_URL,
    choice,
    count,
    seconds,
    size,
)
from rtserver.config.request_kinds import HEADERS, json_object


@dataclass(frozen=True, slots=True)
class RunDeclarations(Declarations):
    """In the order of the documentation, after those of the server itself."""

    workspace_root: Path | None = setting(
        None,
        PATH,
        "Directory with one OpenSpec root for each project, named after it.",
        section="Runs",
        unset="`workspaces` in the data directory",
    )
    validation_command: str | None = setting(
        None,
        COMMAND,
        "Validates a proposal; its output is streamed. Split into words as a shell does, but never "
        "given to one; `{project_id}` and `{proposal_id}` are filled in.",
        unset="`openspec validate {proposal_id} --type change --strict --no-interactive`",
    )
    validation_report_command: str | None = setting(
        None,
        COMMAND,
        "Prints the JSON report that becomes `summary.report`. Set to empty for none.",
        unset="`openspec validate {proposal_id} --type change --strict --no-interactive --json`",
        keep_empty=True,
    )
    validation_timeout_s: float = setting(
        300.0, seconds(0.1, 86_400), "How long a validation may take before it is ended."
    )
    validation_address_space_bytes: int = setting(
        32 * GIB,
        size(0, 1024 * TIB),
        "Address space that a process of a validation may reserve; 0: as much as the server. "
        "Node.js reserves some 10 GiB for each piece of WebAssembly, and uses next to nothing of "
        "it: what is used has a bound of its own.",
    )
    validation_memory_bytes: int = setting(
        4 * GIB,
        size(0, 1024 * TIB),
        "Memory that a process of a validation may have for itself; 0: as much as the server. So "
        "much is where Node.js itself gives up, so that OpenSpec never meets it.",
    )
    validation_processes: int = setting(
        4096,
        count(0, 4_194_304),
        "Processes and threads that the server's account may have in all when a validation starts "
        "one more; 0: as many as for the server. The kernel counts by account, so it leaves room "
        "for what else runs under it; it counts nothing for root.",
    )
    validation_file_bytes: int = setting(
        GIB,
        size(0, 1024 * TIB),
        "Largest file that a validation may write; 0: as the server. A validator writes caches and "
        "logs at most.",
    )
    validation_cpu_s: float = setting(
        600.0,
        seconds(0, 1_000_000),
        "Processor time that a process of a validation may use; 0: as much as it wants to. Twice "
        "`RT_VALIDATION_TIMEOUT_S`, since it may use two processors.",
    )
    max_runs_per_worker: int = setting(
        50, count(1, 10_000), "Runs under way on one worker: each may hold a process or a request."
    )
    max_runs_per_project: int = setting(
        10,
        count(1, 10_000),
        "Runs of one project under way, over all workers, so that one can't starve the others.",
    )
    required_approvals: int = setting(
        1,
        count(0, 100),
        "Approvals by reviewers other than the author that a proposal's text needs before the "
        "proposal can become approved. 0: none.",
    )
    workspace_watch: str = setting(
        "on",
        choice("on", "off"),
        "Whether changes that others make in the workspaces are seen by themselves. off: only when "
        "somebody asks for a proposal's text, or decides on it.",
    )
    workspace_look_interval_s: float = setting(
        30.0,
        seconds(0, 86_400),
        "How often to look for changes in the workspaces that the kernel does not tell of, as on "
        "network file systems. 0: never.",
    )
    git: str = setting(
        "off",
        choice("off", "commit"),
        "commit: each revision and each archive is a commit of its files alone in the workspace's "
        "own git repository, on the branch that is checked out, with who made it and in which run. "
        "No hook is run, and nothing else in the repository is touched.",
    )
    revisions_kept_days: int = setting(
        30,
        count(0, 36_500),
        "Days after a proposal was archived for which the contents of its revisions are kept.",
    )
    max_queued_runs_per_project: int = setting(
        20,
        count(0, 10_000),
        "Runs of one project that wait for a place on one worker; past it a start is refused. "
        "0: none wait.",
    )

    llm_base_url: str | None = setting(
        None,
        WEB_URL,
        "OpenAI-compatible endpoint; `/chat/completions` is added to its path unless it is there.",
        section="Language model",
        unset="iterations are off",
    )
    llm_api_key: str | None = setting(
        None, ANY_TEXT, "Sent to the endpoint as a bearer token.", unset="none", secret=True
    )
    llm_model: str | None = setting(
        None, ANY_TEXT, "Model that the endpoint is asked for.", unset="iterations are off"
    )
    llm_max_tokens: int | None = setting(
        None,
        count(1, 100_000_000),
        "Most tokens that the model may write, sent as `max_tokens` (`max_completion_tokens` where "
        "the endpoint wants that). Some endpoints stop after 100 unless told.",
        unset="the endpoint's own",
    )
    llm_extra: Mapping[str, Any] | None = setting(
        None,
        json_object("messages", "model", "stream"),
        "Merged into each request, over what the server puts there: "
        '`{"temperature": 0.2, "reasoning_effort": "low"}`.',
        unset="nothing",
    )
    llm_headers: tuple[tuple[str, str], ...] = setting(
        (),
        HEADERS,
        "Sent with each request, such as `api-key` for Azure. Their values are secrets.",
        unset="none",
        secret=True,
    )
    llm_connect_timeout_s: float = setting(
        10.0, seconds(0.1, 600), "How long connecting to the endpoint may take."
    )
    llm_first_token_timeout_s: float = setting(
        60.0,
        seconds(0.1, 3600),
        "How long the first token may take: a busy endpoint queues, a large prompt is read first.",
    )
    llm_token_timeout_s: float = setting(
        30.0, seconds(0.1, 3600), "Longest pause between two tokens; past it the stream is stuck."
    )
    llm_timeout_s: float = setting(
        600.0, seconds(0.1, 86_400), "How long a whole iteration's request may take."
    )
    llm_max_reply_bytes: int = setting(
        2 * MIB, size(KIB, GIB), "Largest reply that is held in memory before files are written."
    )
    llm_max_reply_tokens: int = setting(
        100_000,
        count(1, 100_000_000),
        "Most pieces of a reply's stream, which are tokens at most endpoints; past it the request "
        "is closed.",
    )
    llm_context_chars: int = setting(
        200_000,
        count(1000, 100_000_000),
        "Most characters of a proposal's files, and of what else there is to know, that are sent "
        "to the model.",
    )

    log_format: str = setting(
        "text",
        choice("text", "json"),
        "`text` for people, `json` (one object a line) for collectors.",
        section="Logs",
    )
    log_level: str = setting(
        "info",
        choice("debug", "info", "warning", "error"),
        "The least severe log line that is written.",
    )
    access_log_every: int = setting(
        1,
        count(0, 1_000_000),
        "One line in the access log (`http_request`) for so many requests, chosen by chance; 0 is "
        "none. A line takes 250 bytes or so: 100 requests a second fill 60 MB in 42 minutes. "
        "Requests that the server failed at (status 500 and above) always have their line, and "
        "`rtserver_http_requests_total` counts all.",
    )
