"""The pages in Firefox: what depends on the browser, so that no fault there stays unseen."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, NewContext, Restartable, Site
from tests.browser.test_deciding import MOST_TABS, propose, real_project, tab_to
from tests.browser.views import NAMES, expect_live
from tests.support.breaking_proxy import BreakingProxy
from tests.support.firefox import Firefox, FirefoxPage, firefox
from tests.support.publisher import Publisher
from tests.support.tokens import token

LINES = ".terminal-content .line"


@pytest.fixture(scope="module")
def _firefox() -> Iterator[Firefox]:
    with firefox() as browser:
        yield browser


@pytest.fixture
def fox(_firefox: Firefox, complaints: Complaints) -> Iterator[Firefox]:
    """Firefox; what its pages complain of fails the test."""
    yield _firefox
    _firefox.close_profiles()
    complaints.texts.extend(_firefox.complaints())
    complaints.expect("establish a connection to the server", "The connection to")


def live(tab: FirefoxPage) -> None:
    """Wait until a page is connected."""
    tab.bring_to_front()
    tab.wait("() => document.querySelector('.pill')?.textContent === 'Live'")


def live_over(tab: FirefoxPage, transport: str) -> None:
    """Wait until a page is connected over a transport."""
    tab.bring_to_front()
    tab.wait(
        """by => {
            const pill = document.querySelector('.pill');
            return pill?.textContent === 'Live' && pill.title.toLowerCase().includes(`over ${by}`);
        }""",
        NAMES[transport].lower(),
    )


def numbers(tab: FirefoxPage) -> list[int]:
    """The numbers of the lines in the terminal, in the order in which they stand there."""
    script = "css => Array.from(document.querySelectorAll(css), line => Number(line.dataset.n))"
    return [int(number) for number in tab.evaluate(script, LINES)]


def more_lines(tabs: list[FirefoxPage], many: int = 20) -> None:
    """Wait until each page shows so many more lines than the one that is ahead does now."""
    ahead = max(len(numbers(tab)) for tab in tabs)
    for tab in tabs:
        tab.bring_to_front()
        tab.wait_count(LINES, ahead + many)


def focus_by_tab(tab: FirefoxPage, label: str, *held: str) -> None:
    """Reach something by the Tab key, by its whole text; with Shift where it is further up.

    Behind the page's end Tab goes on into Firefox's own bars.
    """
    tab.wait(
        """label => Array.from(document.querySelectorAll('a, button'))
            .some(each => each.textContent.trim() === label && each.checkVisibility())""",
        label,
    )
    for _ in range(MOST_TABS):
        script = "() => document.hasFocus() && document.activeElement.textContent.trim()"
        if tab.evaluate(script) == label:
            return
        tab.press("Tab", *held)
    pytest.fail(f"“{label}” is not reached by Tab")


def test_each_transport_rides_out_a_killed_worker(
    fox: Firefox, page: Page, site: Site, restartable: Restartable
) -> None:
    # The run is on a worker that lives. One page is told how to connect, one finds the only way.
    proposal = site.propose(page, "endless")
    with BreakingProxy(lambda: restartable.port) as proxy:
        proxy.block("/ws/", f"/api/v1/proposals/{proposal}/events")
        direct = restartable.in_project(site)
        restartable.reach_by(proxy.address)
        cut = restartable.in_project(site)
        tabs = {transport: fox.page() for transport in NAMES}
        for transport, tab in tabs.items():
            there, query = (
                (cut, "") if transport == "sockjs" else (direct, f"?transport={transport}")
            )
            tab.goto(there.address(f"user-{transport}", proposal=proposal, query=query))
        for transport, tab in tabs.items():
            live_over(tab, transport)
        run = site.post(page, f"/proposals/{proposal}/validations", {})["run_id"]
        begun = site.call(page, "GET", f"/runs/{run}")["replay_from"]
        more_lines(list(tabs.values()))
        restartable.kill()
        for tab in tabs.values():
            tab.bring_to_front()
            tab.wait("() => document.querySelector('.pill').textContent !== 'Live'")
        restartable.start()
        for transport, tab in tabs.items():
            live_over(tab, transport)
        more_lines(list(tabs.values()))
        site.delete(page, f"/runs/{run}")
        for tab in tabs.values():
            tab.bring_to_front()
            tab.wait_text(".run-status", "Cancelled by ada")
        printed = sum(event["type"] == "output" for event in site.events(page, begun))
        for transport, tab in tabs.items():
            assert numbers(tab) == list(range(1, printed + 1)), transport


def test_a_link_opens_signed_in_and_tabs_share_a_connection(
    fox: Firefox, page: Page, site: Site
) -> None:
    proposal = site.propose(page, "endless")
    before = site.worker.metric("rtserver_connections")
    profile = fox.profile()
    first = fox.page(profile)
    first.goto(f"{site.base}/")
    first.fill("#project", site.project)
    first.fill("#token", token("ada", site.project, ttl_s=-5))
    first.press("Enter")
    first.wait_text("[role=alert]", "expired")
    first.fill("#token", token("ada", site.project))
    first.click("form [type=submit]")
    live(first)
    assert "token" not in first.url
    second = fox.page(profile)
    second.goto(f"{site.base}/#project={site.project}&proposal={proposal}&view=checks")
    live(second)
    assert site.worker.metric("rtserver_connections") == before + 1
    second.click(".run-button")
    second.wait_count(LINES, 10)
    first.bring_to_front()
    first.close()  # it led
    more_lines([second], 40)
    live(second)
    second.wait_text(".run-button", "Cancel")
    second.click(".run-button")
    second.wait_text(".run-status", "Cancelled by ada")
    shown = numbers(second)
    assert shown == list(range(1, len(shown) + 1))
    second.click(".sign-out")
    second.wait("() => document.querySelector('h1, h2').textContent === 'Sign in'")
    assert second.evaluate("() => Object.values(sessionStorage).join('')") == ""


def test_two_browsers_review_a_proposal_from_reading_to_archive_by_keyboard(
    fox: Firefox, new_context: NewContext, demo: Site
) -> None:
    site = real_project(demo)
    author = new_context().new_page()
    proposal = propose(author, site, "both")
    author.goto(site.address("ada", proposal=proposal, view="text"))
    expect_live(author)
    reviewer = fox.page()
    reviewer.goto(site.address("ben", proposal=proposal, view="text"))
    live(reviewer)
    reviewer.wait_text(".text-body", "Six days are too few")
    reviewer.press("2")
    reviewer.wait_text(".requirement ins", "seven")
    reviewer.press("1")
    reviewer.wait_text(".text-body", "Six days are too few")
    reviewer.press("]")
    reviewer.press("]")
    reviewer.press("m")
    reviewer.wait("() => document.activeElement.matches('textarea')")
    reviewer.type("Why not eight?")
    focus_by_tab(reviewer, "Comment here")
    reviewer.press("Enter")
    expect(author.locator(".thread")).to_contain_text("Why not eight?")
    reviewer.wait_text(".thread", "Why not eight?")
    reviewer.press("r")
    reviewer.wait("() => document.activeElement.matches('.review-form textarea')")
    reviewer.type("Yes, @")
    reviewer.wait_text("[role=option]", "@ada")
    reviewer.press("Enter")
    focus_by_tab(reviewer, "Approve")
    reviewer.press("Enter")
    reviewer.wait_text(".verdict-row", "approved revision 1")

    expect(author.locator(".verdict-row .mention")).to_have_text("@ada")
    tab_to(author, author.get_by_role("button", name="Accept", exact=True))
    author.keyboard.press("Enter")
    reviewer.wait_text(".decide-summary", "Revision 1 is approved")
    focus_by_tab(reviewer, "Archive…", "Shift")
    reviewer.press("Enter")
    reviewer.wait_text("dialog[open]", "writes its requirements into the specs")
    focus_by_tab(reviewer, "Archive, and update the specs")
    reviewer.press("Enter")
    reviewer.wait_text(".decide-summary", "Archived")
    expect(author.locator(".decide-summary")).to_contain_text("Archived")
    spec = site.workspaces / site.project / "openspec" / "specs" / "holds" / "spec.md"
    assert "seven days" in spec.read_text(encoding="utf-8")


def test_the_audit_console_follows_filters_and_is_used_by_keyboard(
    fox: Firefox, page: Page, site: Site
) -> None:
    tab = fox.page()
    signed = token("root", roles=("admin",), name="Root")
    tab.goto(f"{site.base}/admin?project_id={site.project}&action=lock.*#token={signed}")
    tab.wait_text(".state", "Live")
    assert "token" not in tab.url
    site.call(page, "PUT", f"/projects/{site.project}/lock", {"reason": "<b>by hand</b>"})
    tab.wait_text(".rows .row", "lock.acquired")
    for _ in range(MOST_TABS):
        if tab.evaluate("() => document.activeElement.matches('[role=grid]')"):
            break
        tab.press("Tab")
    tab.press("End")
    tab.press("Enter")
    tab.wait_text(".json", "<b>by hand</b>")
    tab.press("Escape")
    tab.wait("() => document.activeElement.matches('[role=grid]')")
    tab.fill("#filter-action", "lock.akquired")
    tab.press("Enter")
    tab.wait_text(".note", "lock.akquired")
    tab.wait_text(".state", "Stopped")


def test_the_page_for_older_browsers_follows_by_websocket_and_by_polling(
    fox: Firefox, page: Page, restartable: Restartable
) -> None:
    site = restartable.site
    site.propose(page, "endless")
    tabs = {by: fox.page(width=600) for by in ("websocket", "xhr-streaming", "xhr-polling")}
    signed = {by: token(f"user-{by}", site.project) for by in tabs}
    for by, tab in tabs.items():
        tab.goto(f"{site.base}/legacy?transport={by}#project={site.project}&token={signed[by]}")
    for by, tab in tabs.items():
        tab.bring_to_front()
        tab.wait_text("#state", f"Live, over {by}")
        tab.wait_text("#proposals tbody tr", "About endless")
    with Publisher(lambda: site.worker.address, site.project, interval_s=0.1) as publisher:
        tabs["websocket"].wait_count("#events li", 3)
        restartable.kill()
        for tab in tabs.values():
            tab.bring_to_front()
            tab.wait("() => !document.querySelector('#state').textContent.includes('Live')")
        restartable.start()
        for by, tab in tabs.items():
            tab.bring_to_front()
            tab.wait_text("#state", f"Live, over {by}")
        count = publisher.finish()
    for by, tab in tabs.items():
        tab.bring_to_front()
        tab.wait_count("#events li[data-id]", count)
        shown = tab.evaluate(
            """() => JSON.stringify(Array.from(document.querySelectorAll("#events li[data-id]"),
                line => Number(line.lastChild.textContent)))"""
        )
        assert json.loads(shown) == list(range(count)), by
    assert urlsplit(tabs["websocket"].url).fragment.startswith("project=")
