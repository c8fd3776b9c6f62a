"""A real Chromium, and workers for it to talk to."""

import itertools
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import validator_script
from tests.support.tokens import token
from tests.support.workers import Worker, Workers

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
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

_numbers = itertools.count(1)
_failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file.

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
    """What the browser complained of: scripts that failed, and errors on the console."""

    texts: list[str]

    def expect(self, *parts: str) -> None:
        """Take out those that contain any of these."""
        self.texts[:] = [text for text in self.texts if not any(part in text for part in parts)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Collected from all pages of the test; what is left at its end fails it."""
    seen = Complaints([])
    yield seen
    # Lost connections are what half of the tests are about.
    seen.expect("WebSocket connection to", "net::ERR_")
    if seen.texts:
        pytest.fail("the browser complained:\n" + "\n".join(seen.texts))


NewContext = Callable[..., BrowserContext]


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
    """A worker, and a project on it that no other test has."""

    worker: Worker
    project: str
    workspaces: Path

    @property
    def base(self) -> str:
        """Where the page is."""
        return f"http://{self.worker.address}"

    def address(
        self, user: str = "ada", *, proposal: str = "", query: str = "", **token_options: Any
    ) -> str:
        """The page's address with a ready token, as `make run` prints it."""
        signed = token(user, self.project, **token_options)
        place = f"&proposal={proposal}" if proposal else ""
        return f"{self.base}/{query}#token={signed}&project={self.project}{place}"

    def post(self, page: Page, path: str, body: object, user: str = "ada") -> Any:
        """A call of the HTTP interface, past the page's own script."""
        answer = page.request.post(
            f"{self.base}/api/v1{path}",
            data=body,
            headers={"Authorization": f"Bearer {token(user, self.project)}"},
        )
        assert answer.ok, answer.text()
        return answer.json()

    def propose(self, page: Page, proposal: str, **fields: Any) -> str:
        """Make a proposal; its id, made unique."""
        proposal_id = f"{proposal}.{self.project}"
        body = {"id": proposal_id, "title": f"About {proposal}", **fields}
        self.post(page, f"/projects/{self.project}/proposals", body)
        return proposal_id


def _site(worker: Worker, workspaces: Path) -> Site:
    project = f"page-{next(_numbers)}"
    (workspaces / project).mkdir(parents=True, exist_ok=True)
    return Site(worker, project, workspaces)


@pytest.fixture(scope="module")
def _scripted(_module_workers: Workers) -> Worker:
    return _module_workers.start(
        validation_command=SCRIPTED_VALIDATOR, validation_report_command=""
    )


@pytest.fixture
def site(_scripted: Worker, module_workers: Workers) -> Site:
    """A project on a worker whose validator does what a proposal's id says."""
    return _site(_scripted, module_workers.directory / "workspaces")


@dataclass(slots=True)
class Restartable:
    """A worker that can be ended and started again on its port."""

    workers: Workers
    port: int
    site: Site

    def stop(self) -> None:
        """End it in an orderly way."""
        assert self.site.worker.stop() == []

    def start(self) -> None:
        """Start another in its place."""
        worker = self.workers.start(**_restartable_settings(self.port))
        self.site = Site(worker, self.site.project, self.site.workspaces)


@pytest.fixture
def restartable(workers: Workers) -> Restartable:
    """A project on a worker of this test's own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    worker = workers.start(**_restartable_settings(port))
    return Restartable(workers, port, _site(worker, workers.directory / "workspaces"))


def _restartable_settings(port: int) -> dict[str, object]:
    return {
        "port": port,
        "validation_command": SCRIPTED_VALIDATOR,
        "validation_report_command": "",
    }


@pytest.fixture(scope="module")
def _demo(_module_workers: Workers) -> Worker:
    local = Path(__file__).parents[2] / "node_modules" / ".bin" / "openspec"
    if not local.exists() and shutil.which("openspec") is None:
        pytest.skip("the OpenSpec validator is not installed: `npm install` gets it")
    return _module_workers.start("--demo")


@pytest.fixture
def demo(_demo: Worker, module_workers: Workers) -> Site:
    """The demo project, with the real validator."""
    return Site(_demo, "demo", module_workers.directory / "workspaces")
