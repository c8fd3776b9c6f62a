"""A real Chromium, and workers for it to talk to."""

import itertools
import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, expect, sync_playwright

from tests.browser import validator_script
from tests.support.documents import UndocumentedFrameError, check_frame, check_socket_frame
from tests.support.mongo import MongodProcess
from tests.support.node import need_openspec
from tests.support.processes import ROOT
from tests.support.tokens import token
from tests.support.workers import Worker, Workers

CHROMIUMS = (
    "chromium-headless-shell",  # the same engine, for half of the processor time
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 30_000
SCREENSHOTS = Path(__file__).parent / "screenshots"
SCRIPTED_VALIDATOR = shlex.join(
    [sys.executable, "-I", "-S", str(Path(validator_script.__file__)), "{proposal_id}"]
)
SCRIPTED: dict[str, object] = {
    "validation_command": SCRIPTED_VALIDATOR,
    "validation_report_command": "",
}
RESTARTABLE = {**SCRIPTED, "ping_interval_s": 1, "pong_timeout_s": 2}
"""The heartbeat tells pages whose transport does not notice that the connection is gone."""

ELSEWHERE = """<!doctype html><html lang="en"><title>elsewhere</title>
<link rel="icon" href="data:,"><script src="sockjs.min.js"></script></html>"""

_numbers = itertools.count(1)
_failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    here = str(Path(__file__).parent) + os.sep
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed, for the screenshot."""
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


def find_chromium() -> str | None:
    """The browser to use: `RT_TEST_CHROMIUM`, or the first of the usual names on PATH."""
    named = os.environ.get("RT_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUMS)), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for the tests of this folder.

    Not for the whole run: Playwright's loop counts as running in this thread while it is open.
    """
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium was found: install one, or name it in RT_TEST_CHROMIUM")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield one
        one.close()


@dataclass(frozen=True, slots=True)
class Complaints:
    """What the browser complained of: scripts that failed, and errors on the console.

    Attributes:
        texts: all of it.
        expected: parts of what may come.
    """

    texts: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, *parts: str) -> None:
        """Allow those that contain any of these, also what comes later: the browser tells late."""
        self.expected.extend(parts)

    def unexpected(self) -> list[str]:
        """What no test said it expects."""
        return [text for text in self.texts if not any(part in text for part in self.expected)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Collected from all pages of the test; what is left at its end fails it."""
    seen = Complaints()
    # Lost connections are what half of the tests are about.
    seen.expect("WebSocket connection to", "net::ERR_")
    yield seen
    if unexpected := seen.unexpected():
        pytest.fail("the browser complained:\n" + "\n".join(unexpected))


NewContext = Callable[..., BrowserContext]


def _check_frames(ws: WebSocket, complaints: Complaints) -> None:
    """Hold what a page is sent to what asyncapi.json says."""

    def check(payload: str | bytes) -> None:
        try:
            if "/sockjs/" not in ws.url:
                check_socket_frame(json.loads(payload), urlsplit(ws.url).path)
            elif "/sockjs/projects/" in ws.url and payload[:1] == "a":
                for message in json.loads(payload[1:]):
                    check_frame(json.loads(message), "sockjs")
        except UndocumentedFrameError as fault:
            complaints.texts.append(f"frame: {fault}")

    ws.on("framereceived", check)


@pytest.fixture
def new_context(
    browser: Browser, complaints: Complaints, request: pytest.FixtureRequest
) -> Iterator[NewContext]:
    """Make a browser's profile of its own: `new_context(width=390)`, further options as given."""
    contexts: list[BrowserContext] = []

    def make(width: int = 1280, height: int = 800, **options: Any) -> BrowserContext:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(TIMEOUT_MS)
        context.on("weberror", lambda error: complaints.texts.append(f"script: {error.error}"))
        context.on(
            "console",
            lambda message: (
                complaints.texts.append(f"console: {message.text}")
                if message.type == "error"
                else None
            ),
        )
        context.on(
            "page", lambda page: page.on("websocket", lambda ws: _check_frames(ws, complaints))
        )
        contexts.append(context)
        return context

    yield make
    for number, page in enumerate(page for context in contexts for page in context.pages):
        if request.node.stash.get(_failed, False):
            SCREENSHOTS.mkdir(exist_ok=True)
            name = request.node.name.replace("/", "-")
            page.screenshot(path=SCREENSHOTS / f"{name}-{number}.png")
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: NewContext) -> Page:
    """A page in a wide window."""
    return new_context().new_page()


@dataclass(frozen=True, slots=True)
class Site:
    """A worker, and a project on it that no other test has.

    Attributes:
        front: host and port at which pages reach the worker, where that is not its own.
    """

    worker: Worker
    project: str
    workspaces: Path
    front: str | None = None

    @property
    def base(self) -> str:
        """Where the page is."""
        return f"http://{self.front or self.worker.address}"

    def address(
        self,
        user: str = "ada",
        *,
        proposal: str = "",
        view: str = "checks",
        query: str = "",
        **token_options: Any,
    ) -> str:
        """The page's address with a ready token, as `make run` prints it."""
        signed = token(user, self.project, **token_options)
        place = f"&proposal={proposal}&view={view}" if proposal else ""
        return f"{self.base}/{query}#token={signed}&project={self.project}{place}"

    def call(
        self, page: Page, method: str, path: str, body: object = None, user: str = "ada"
    ) -> Any:
        """A call of the HTTP interface, past the page's own script and whatever is in front."""
        answer = page.request.fetch(
            f"http://{self.worker.address}/api/v1{path}",
            method=method,
            data=body,
            headers={"Authorization": f"Bearer {token(user, self.project)}"},
        )
        assert answer.ok, answer.text()
        return answer.json() if answer.body() else None

    def post(self, page: Page, path: str, body: object, user: str = "ada") -> Any:
        """A call that makes something."""
        return self.call(page, "POST", path, body, user)

    def delete(self, page: Page, path: str) -> None:
        """A call that ends something."""
        self.call(page, "DELETE", path)

    def propose(self, page: Page, proposal: str, **fields: Any) -> str:
        """Make a proposal; its id, made unique."""
        proposal_id = f"{proposal}.{self.project}"
        body = {"id": proposal_id, "title": f"About {proposal}", **fields}
        self.post(page, f"/projects/{self.project}/proposals", body)
        return proposal_id

    def events(self, page: Page, after: str) -> list[Any]:
        """All events that are stored after a position."""
        found: list[Any] = []
        more = True
        while more:
            path = f"/projects/{self.project}/events?after={after}&limit=1000"
            part = self.call(page, "GET", path)
            found += part["events"]
            after, more = part["position"], part["more"]
        return found

    def active_run(self, page: Page) -> str:
        """The one run that is under way."""
        (run,) = self.call(page, "GET", f"/projects/{self.project}")["active_runs"]
        return str(run["run_id"])


@pytest.fixture(scope="package")
def _all_workers(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    with mongod.fresh_database() as name:
        factory = Workers(
            tmp_path_factory.mktemp("workers"),
            {"mongodb_uri": mongod.uri, "mongodb_database": name},
        )
        yield factory
        problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.fixture
def browser_workers(_all_workers: Workers) -> Iterator[Workers]:
    """Workers that all tests of this folder share, on one database."""
    yield _all_workers
    alarms = _all_workers.unexpected()
    if alarms:
        pytest.fail("workers logged errors:\n" + "\n".join(alarms))


def _site(worker: Worker, workers: Workers) -> Site:
    project = f"page-{next(_numbers)}"
    workspaces = workers.directory / "workspaces"
    (workspaces / project).mkdir(parents=True, exist_ok=True)
    return Site(worker, project, workspaces)


@pytest.fixture(scope="package")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of another site, whose page has sockjs-client, and no more."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text(ELSEWHERE, encoding="utf-8")
    library = ROOT / "node_modules/sockjs-client/dist/sockjs.min.js"
    if library.exists():
        shutil.copy(library, folder)

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="package")
def _scripted(_all_workers: Workers, elsewhere: str) -> Worker:
    return _all_workers.start(**SCRIPTED, allowed_origins=elsewhere)


@pytest.fixture
def site(_scripted: Worker, browser_workers: Workers) -> Site:
    """A project on a worker whose validator does what a proposal's id says."""
    return _site(_scripted, browser_workers)


@dataclass(slots=True)
class Restartable:
    """A worker that can be ended and started again on its port, beside the one that all share."""

    workers: Workers
    site: Site

    @property
    def port(self) -> int:
        """Where it listens, now and after a restart."""
        return self.site.worker.port

    def reach_by(self, front: str) -> None:
        """Let pages come by another address."""
        self.site = replace(self.site, front=front)

    def in_project(self, other: Site) -> Site:
        """Another site's project, seen through this worker."""
        return replace(self.site, project=other.project)

    def stop(self) -> None:
        """End it in an orderly way."""
        assert self.site.worker.stop() == []

    def kill(self) -> None:
        """End it at once."""
        self.site.worker.kill()

    def start(self) -> None:
        """Start another in its place."""
        worker = self.workers.start(**RESTARTABLE, port=self.port)
        self.site = replace(self.site, worker=worker)


@pytest.fixture(scope="package")
def _restartable(_all_workers: Workers) -> Restartable:
    worker = _all_workers.start(**RESTARTABLE)
    return Restartable(_all_workers, _site(worker, _all_workers))


@pytest.fixture
def restartable(_restartable: Restartable, browser_workers: Workers) -> Iterator[Restartable]:
    """A project on a worker that a test may end, and shares the others' database."""
    _restartable.site = _site(_restartable.site.worker, browser_workers)
    yield _restartable
    if _restartable.site.worker.process.poll() is not None:
        _restartable.start()  # the test failed before it did


@pytest.fixture(scope="package")
def _demo(_all_workers: Workers) -> Worker:
    need_openspec()
    return _all_workers.start("--demo")


@pytest.fixture
def demo(_demo: Worker, browser_workers: Workers) -> Site:
    """The demo project, with the real validator and the stand-in for a language model."""
    return Site(_demo, "demo", browser_workers.directory / "workspaces")
