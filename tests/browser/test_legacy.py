"""`/legacy`: sockjs-client in a real browser, through each transport that it has."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Restartable, Site
from tests.browser.sockjs_client import TRANSPORTS, open_sockets, wait_for
from tests.support.publisher import Publisher
from tests.support.tokens import token

ROOT = Path(__file__).parents[2]
LONG_MS = 90_000

pytestmark = pytest.mark.skipif(
    not (ROOT / "node_modules/sockjs-client").exists(), reason="sockjs-client is not installed"
)


def address(site: Site, user: str, transport: str = "", **token_options: float) -> str:
    """The page's address with a ready token."""
    query = f"?transport={transport}" if transport else ""
    signed = token(user, site.project, **token_options)  # type: ignore[arg-type]
    return f"{site.base}/legacy{query}#project={site.project}&token={signed}"


def expect_live(page: Page, transport: str, timeout_ms: int = LONG_MS) -> None:
    page.bring_to_front()
    expect(page.locator("#state")).to_have_text(f"Live, over {transport}", timeout=timeout_ms)


def published(page: Page) -> list[int]:
    """The numbers of the events that are shown."""
    numbers: list[int] = page.evaluate(
        """() => Array.from(document.querySelectorAll("#events li[data-id]"))
            .map(line => Number(line.lastChild.textContent))"""
    )
    return numbers


def expect_more(pages: list[Page], publisher: Publisher) -> None:
    """Wait until every page shows what is published now."""
    latest = publisher.count - 1
    for page in pages:
        page.bring_to_front()  # a page behind another is looked at once a second
        page.wait_for_function(
            """latest => {
                const last = document.querySelector("#events li:last-child");
                return last && Number(last.lastChild.textContent) >= latest;
            }""",
            arg=latest,
            timeout=LONG_MS,
        )


def test_shows_the_project_and_carries_out_commands(page: Page, site: Site) -> None:
    proposal = site.propose(page, "count.3")
    page.goto(address(site, "ada"))
    expect_live(page, "websocket")
    assert "token" not in page.url
    row = page.locator(f'tr[data-proposal="{proposal}"]')
    expect(row).to_contain_text("About count.3")
    row.get_by_role("button").click()
    expect(page.locator("#events li").last).to_contain_text("validation_complete")
    printed = page.locator("#events li", has_text="output").first
    expect(printed).to_have_text(f"output{proposal}  line 1 of some")  # it came in colours
    endless = site.propose(page, "endless")
    button = page.locator(f'tr[data-proposal="{endless}"]').get_by_role("button")
    button.click()
    expect(button).to_have_accessible_name("Cancel About endless")
    button.click()
    expect(page.locator("#events li").last).to_contain_text("validation_cancelled")
    expect(button).to_have_text("Validate")
    page.reload()
    expect_live(page, "websocket")
    expect(row).to_contain_text("About count.3")
    expect(page.locator("#events li")).to_have_count(0)
    site.propose(page, "later")
    expect(page.get_by_text("About later")).to_be_visible()


def test_asks_who_one_is_and_stops_where_it_should(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/legacy")
    page.get_by_label("Project").fill(site.project)
    page.get_by_label("Token").fill("no.to.ken")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#state")).to_contain_text("Stopped: Unauthorized")
    expect(page.locator("#view")).to_be_hidden()
    page.get_by_label("Token").fill(token("ada", site.project))
    page.get_by_role("button", name="Open").click()
    expect_live(page, "websocket")
    page.goto("about:blank")
    page.goto(address(site, "ada", "xhr-polling", ttl_s=5))
    expect_live(page, "xhr-polling")
    expect(page.locator("#state")).to_contain_text("the token expired")


def test_each_transport_shows_every_event_once_through_a_crash_and_a_cut_network(
    restartable: Restartable, new_context: NewContext
) -> None:
    site = restartable.site
    contexts = [new_context(width=600) for _ in TRANSPORTS]
    pages = [context.new_page() for context in contexts]
    for transport, page in zip(TRANSPORTS, pages, strict=True):
        page.goto(address(site, f"user-{transport}", transport))
    for transport, page in zip(TRANSPORTS, pages, strict=True):
        expect_live(page, transport)
    with Publisher(lambda: site.worker.address, site.project, interval_s=0.2) as publisher:
        expect_more(pages, publisher)
        restartable.kill()
        for page in pages:
            expect(page.locator("#state")).not_to_contain_text("Live", timeout=LONG_MS)
        for context in contexts:
            context.set_offline(True)
        restartable.start()
        for context in contexts:
            context.set_offline(False)  # which also ends whatever wait a page is in
        for transport, page in zip(TRANSPORTS, pages, strict=True):
            expect_live(page, transport)
        expect_more(pages, publisher)
        for context in contexts:
            context.set_offline(True)
        pages[0].wait_for_timeout(1500)
        for context in contexts:
            context.set_offline(False)
        expect_more(pages, publisher)
        count = publisher.finish()
        expect_more(pages, publisher)
    for transport, page in zip(TRANSPORTS, pages, strict=True):
        assert published(page) == list(range(count)), transport


def test_a_page_of_another_origin_gets_every_event_once_by_each_transport(
    site: Site, new_context: NewContext, elsewhere: str
) -> None:
    # Two browsers: one opens six connections to a host at most, and what polls wants two of them.
    parties = [
        [name for name in TRANSPORTS if ("polling" in name) is polls and name != "htmlfile"]
        for polls in (False, True)
    ]  # htmlfile is for one's own origin only
    pages = [new_context().new_page() for _ in parties]
    for page, transports in zip(pages, parties, strict=True):
        page.goto(f"{elsewhere}/index.html")
        open_sockets(page, site, transports)
    with Publisher(lambda: site.worker.address, site.project) as publisher:
        for page, transports in zip(pages, parties, strict=True):
            wait_for(page, transports, "test.event", 20)
        count = publisher.finish()
    for page, transports in zip(pages, parties, strict=True):
        wait_for(page, transports, "test.event", count)
        for transport, one in page.evaluate("got").items():
            numbers = [frame["data"] for frame in one["frames"] if frame["type"] == "test.event"]
            assert (numbers, one["end"]) == (list(range(count)), None), transport


def test_transports_may_change_in_mid_stream(site: Site, new_context: NewContext) -> None:
    page = new_context().new_page()
    shown: list[int] = []
    with Publisher(lambda: site.worker.address, site.project) as publisher:
        page.goto(address(site, "ada", "websocket"))
        expect_live(page, "websocket")
        expect_more([page], publisher)
        for transport in ("jsonp-polling", "htmlfile", "xhr-streaming"):
            shown += _frozen(page)
            page.goto(address(site, "ada", transport))
            expect_live(page, transport)
            expect_more([page], publisher)
        count = publisher.finish()
        expect_more([page], publisher)
    shown += published(page)
    assert shown == list(range(shown[0], count))


def _frozen(page: Page) -> list[int]:
    """What a page shows at the moment at which it is left: nothing may come in between."""
    numbers: list[int] = page.evaluate(
        """() => {
            sessionStorage.setItem = () => {};
            Object.defineProperty(window, "sessionStorage", {value: {setItem() {}, getItem() {}}});
            return Array.from(document.querySelectorAll("#events li[data-id]"))
                .map(line => Number(line.lastChild.textContent));
        }"""
    )
    return numbers


def test_the_script_is_ecmascript_5() -> None:
    source = (ROOT / "static/legacy/legacy.js").read_text(encoding="utf-8")
    code = re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/|//[^\n]*', '""', source, flags=re.DOTALL)
    assert '"use strict"' in source
    newer = re.compile(r"=>|`|\.\.\.|\b(let|const|class|async|await|import|export|yield|Promise)\b")
    assert not newer.findall(code)
