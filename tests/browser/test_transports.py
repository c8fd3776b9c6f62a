"""The page over each transport: whatever breaks in between, each line once and in order."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import NewContext, Restartable, Site
from tests.browser.views import (
    expect_lines,
    expect_live,
    expect_transport,
    lines,
    numbers,
    outcome,
    start_validation,
    state,
)
from tests.support.breaking_proxy import BreakingProxy

TRANSPORTS = ("websocket", "sse", "sockjs")


@pytest.fixture
def proxy(restartable: Restartable) -> Iterator[BreakingProxy]:
    """In front of the worker that can be killed; `restartable.site` is reached through it."""
    with BreakingProxy(lambda: restartable.port) as proxy:
        restartable.reach_by(proxy.address)
        yield proxy


@pytest.fixture
def page(new_context: NewContext) -> Page:
    """A page without animations, which would be drawn all the time."""
    return new_context(reduced_motion="reduce").new_page()


def _expect_more(pages: list[Page], many: int = 30) -> None:
    """Wait until each page shows so many more lines than the one that is ahead does now."""
    ahead = max(lines(page).count() for page in pages)
    for page in pages:
        expect_lines(page, ahead + many)


def _offline(contexts: list[BrowserContext], *, on: bool) -> None:
    for context in contexts:
        context.set_offline(on)


def _end(site: Site, run: str, pages: list[Page]) -> None:
    """Cancel the run, and see that each page shows each of its lines once, in order."""
    begun = site.call(pages[0], "GET", f"/runs/{run}")["replay_from"]
    site.delete(pages[0], f"/runs/{run}")
    for page in pages:
        page.bring_to_front()
        expect(outcome(page)).to_contain_text("Cancelled by ada")
    events = site.events(pages[0], begun)
    printed = sum(event["type"] == "output" for event in events)
    for page in pages:
        expect_lines(page, printed)
        assert numbers(page) == list(range(1, printed + 1))


def test_each_transport_rides_out_a_crash_and_a_cut_network(
    new_context: NewContext, site: Site, restartable: Restartable, proxy: BreakingProxy
) -> None:
    # The run is on a worker that lives; the pages are at one that is killed, through a proxy.
    there = restartable.in_project(site)
    contexts = [new_context(reduced_motion="reduce") for _ in TRANSPORTS]
    pages = [context.new_page() for context in contexts]
    proposal = site.propose(pages[0], "endless")
    for transport, page in zip(TRANSPORTS, pages, strict=True):
        page.goto(
            there.address(f"user-{transport}", proposal=proposal, query=f"?transport={transport}")
        )
    for transport, page in zip(TRANSPORTS, pages, strict=True):
        expect_transport(page, transport)
    run = site.post(pages[0], f"/proposals/{proposal}/validations", {})["run_id"]
    _expect_more(pages)
    restartable.kill()
    for page in pages:
        page.bring_to_front()
        expect(state(page)).to_have_text(re.compile("Reconnecting|Connecting"))
    _offline(contexts, on=True)
    restartable.start()
    _offline(contexts, on=False)  # which also ends whatever wait a page is in
    _expect_more(pages)
    # Sockets are spared by what Chromium calls offline. They are cut first: one that is cut while
    # it is offline is not told, and Chromium's network process spins until the page gives it up.
    proxy.block("/")
    _offline(contexts, on=True)
    for page in pages:
        page.bring_to_front()
        expect(state(page)).to_have_text("Offline")
        expect(page.locator(".head .banner")).to_be_visible()
    before = [lines(page).count() for page in pages]
    proxy.block()
    _offline(contexts, on=False)
    for transport, page, shown in zip(TRANSPORTS, pages, before, strict=True):
        expect_live(page)
        expect_transport(page, transport)
        expect_lines(page, shown + 50)
    _end(site, run, pages)


def test_what_stops_getting_through_is_left_for_the_next_transport_in_mid_stream(
    page: Page, site: Site, restartable: Restartable, proxy: BreakingProxy
) -> None:
    there = restartable.in_project(site)
    proposal = site.propose(page, "endless")
    page.goto(there.address(proposal=proposal))
    expect_transport(page, "websocket")
    start_validation(page)
    run = site.active_run(page)
    _expect_more([page])
    proxy.block("/ws/")
    expect_transport(page, "sse")
    _expect_more([page])
    proxy.block("/ws/", f"/api/v1/proposals/{proposal}/events")
    expect_transport(page, "sockjs")
    _expect_more([page])
    # A reload keeps to what worked; told otherwise, it changes once more.
    page.reload()
    expect_transport(page, "sockjs")
    proxy.block()
    page.goto(there.address(proposal=proposal, query="?transport=sse"))
    expect_transport(page, "sse")
    _expect_more([page])
    _end(site, run, [page])


def test_a_run_whose_worker_dies_ends_on_the_page_too(page: Page, restartable: Restartable) -> None:
    site = restartable.site
    proposal = site.propose(page, "endless")
    page.goto(site.address(proposal=proposal))
    expect_live(page)
    start_validation(page)
    expect_lines(page, 20)
    restartable.stop()
    expect(state(page)).to_have_text(re.compile("Reconnecting|Connecting"))
    expect(outcome(page)).not_to_contain_text(re.compile("^Running$"))
    restartable.start()
    expect_live(page)
    expect(outcome(page)).to_contain_text("Could not finish")
    shown = numbers(page)
    assert shown == list(range(1, len(shown) + 1))
    later = restartable.site.propose(page, "count.2")
    page.get_by_role("link", name="About count.2").click()
    page.get_by_role("button", name="Validate").click()
    expect(outcome(page)).to_contain_text("Passed")
    assert later in page.url
