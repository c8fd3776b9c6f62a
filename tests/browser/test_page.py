"""The page in a real browser, against real workers."""

import json
import re
from collections import deque
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.browser.conftest import Complaints, NewContext, Site
from tests.browser.views import (
    expect_lines,
    expect_live,
    lines,
    numbers,
    outcome,
    poor_contrasts,
    run_button,
    sideways_px,
    start_validation,
    state,
    texts,
)
from tests.support.tokens import token

NARROW_PX = 390


def offline(page: Page, *, on: bool) -> None:
    """Take the network from the page, or give it back (Chrome DevTools protocol)."""
    page.context.set_offline(on)


def test_the_token_leaves_the_address_bar_and_stays_in_the_tab(page: Page, site: Site) -> None:
    first = site.propose(page, "count.3")
    address = site.address()
    page.goto(address)
    expect_live(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("About count.3")
    assert "token" not in page.url
    assert urlsplit(page.url).fragment == f"project={site.project}&proposal={first}"
    kept = page.evaluate("JSON.stringify({...sessionStorage})")
    assert json.loads(kept)["rtserver.token"] in address
    page.reload()
    expect_live(page)


@pytest.mark.parametrize(
    ("proposal", "verdict"),
    [("A fair queue for reserved titles", "Passed"), ("Waive late fees for the young", "Failed")],
)
def test_a_demo_proposal_is_validated(page: Page, demo: Site, proposal: str, verdict: str) -> None:
    page.goto(demo.address())
    page.get_by_role("link", name=proposal).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(proposal)
    start_validation(page)
    expect(outcome(page).locator("strong")).to_have_text(verdict)
    expect(page.locator('.item[aria-current="page"]')).to_contain_text(verdict)
    expect_lines(page, 1)
    shown = texts(page)
    if verdict == "Passed":
        assert shown == ["Change 'add-hold-queue' is valid"]
        expect(page.locator(".finding")).to_have_count(0)
        return
    assert shown[0] == "Change 'waive-late-fees' has issues"
    findings = page.locator(".finding").evaluate_all(
        "rows => rows.map(row => [row.querySelector('.level').textContent,"
        " row.querySelector('.path').textContent, row.querySelector('p').textContent])"
    )
    levels = [level for level, _, _ in findings]
    assert levels == sorted(levels, key=["Error", "Warning", "Note"].index)
    assert {"Error", "Warning", "Note"} == set(levels)
    assert [
        "Error",
        "loans/spec.md",
        'ADDED "Block borrowing" is missing requirement text',
    ] in findings
    for _, path, message in findings:
        # What the list says is what people read in the output, too.
        assert any(path.partition(":")[0] in line and message in line for line in shown)


def test_output_is_shown_as_a_terminal_shows_it_and_never_as_markup(page: Page, site: Site) -> None:
    proposal = site.propose(page, "markup")
    page.goto(site.address(proposal=proposal))
    page.get_by_role("button", name="Validate").click()
    expect(outcome(page)).to_contain_text("Passed")
    assert texts(page) == [
        '<img src=x onerror="document.title=1"><b>bold</b> & red',
        "256 deep blue all",
        "100% done",
    ]
    assert lines(page).locator("img, b").count() == 0
    expect(lines(page).nth(0).locator(".fg-1")).to_have_text("red")
    second = lines(page).nth(1).locator("span")
    expect(second.nth(0)).to_have_css("color", "rgb(255, 0, 0)")
    expect(second.nth(2)).to_have_class("sgr-bold sgr-underline fg-default-bg bg-default-fg")
    blue = second.nth(1).evaluate("piece => getComputedStyle(piece).color")
    assert blue != "rgb(0, 0, 200)", "nobody could read that on a dark ground"


def test_offline_in_the_middle_and_back_with_nothing_missed(page: Page, site: Site) -> None:
    proposal = site.propose(page, "count.250")
    page.goto(site.address(proposal=proposal))
    expect_live(page)
    start_validation(page)
    expect_lines(page, 20)
    offline(page, on=True)
    expect(page.locator(".head .banner")).to_contain_text(re.compile("offline|lost|No answer"))
    before = len(numbers(page))
    offline(page, on=False)
    expect_live(page)
    expect(outcome(page)).to_contain_text("Passed")
    expect_lines(page, 250)
    assert before < 250
    assert numbers(page) == list(range(1, 251))
    assert texts(page)[-1] == "line 250 of some"


def test_a_connection_that_is_cut_is_taken_up_again_and_says_what_came(
    page: Page, site: Site
) -> None:
    """`set_offline` spares open sockets, so the page's own is cut: told that it is closed."""
    page.add_init_script(
        "window.sockets = []; const Native = WebSocket;"
        "window.WebSocket = class extends Native {"
        " constructor(...given) { super(...given); sockets.push(this); } };"
    )
    proposal = site.propose(page, "count.300")
    page.goto(site.address(proposal=proposal))
    expect_live(page)
    start_validation(page)
    expect_lines(page, 10)
    offline(page, on=True)
    page.evaluate(
        "(() => { const socket = sockets.at(-1); const told = socket.onclose; socket.close();"
        " told(new CloseEvent('close', { code: 1006 })); })()"
    )
    expect(state(page)).to_have_text("Offline")
    expect(page.locator(".head .banner")).to_contain_text("This page catches up by itself")
    expect(page.locator(".countdown")).to_contain_text("Trying again")
    site.post(page, f"/proposals/{proposal}/comments", {"text": "while you were away"})
    offline(page, on=False)
    expect(page.locator(".toast")).to_contain_text(re.compile(r"Caught up: \d+ events? replayed"))
    expect_live(page)
    expect(outcome(page)).to_contain_text("Passed")
    expect_lines(page, 300)
    assert numbers(page) == list(range(1, 301))


def test_a_validation_is_cancelled(page: Page, site: Site) -> None:
    proposal = site.propose(page, "endless")
    page.goto(site.address(proposal=proposal))
    start_validation(page)
    expect_lines(page, 5)
    page.get_by_role("button", name="Cancel").click()
    expect(outcome(page)).to_contain_text("Cancelled by ada")
    expect(page.get_by_role("button", name="Validate")).to_be_visible()
    shown = numbers(page)
    assert shown == list(range(1, len(shown) + 1))


def test_a_page_opened_late_shows_the_run_from_its_beginning(page: Page, site: Site) -> None:
    proposal = site.propose(page, "endless")
    page.goto(site.address(proposal=proposal, name="Ada Lovelace"))
    start_validation(page)
    expect_lines(page, 30)
    late = page.context.new_page()
    late.goto(site.address("ben", proposal=proposal))
    expect_lines(late, 40)
    assert numbers(late)[:40] == list(range(1, 41))
    expect(outcome(late)).to_contain_text("started by Ada Lovelace")
    # It is not Ben's to cancel, so he is not offered to.
    expect(run_button(late)).to_have_text("Running")
    expect(run_button(late)).to_have_attribute("aria-disabled", "true")
    page.bring_to_front()
    page.get_by_role("button", name="Cancel").click()
    late.bring_to_front()
    expect(outcome(late)).to_contain_text("Cancelled by Ada Lovelace")


def test_tabs_of_one_browser_share_a_connection_and_take_over(
    new_context: NewContext, site: Site
) -> None:
    context = new_context()
    first = context.new_page()
    proposal = site.propose(first, "endless")
    before = site.worker.metric("rtserver_connections")
    tabs = [first, context.new_page(), context.new_page()]
    for tab in tabs:
        tab.goto(site.address(proposal=proposal))
        expect_live(tab)
    assert site.worker.metric("rtserver_connections") == before + 1
    start_validation(tabs[2])
    for tab in tabs:
        expect_lines(tab, 10)
    first.close()
    for tab in tabs[1:]:
        expect_lines(tab, len(numbers(tab)) + 40)
        expect_live(tab)
    tabs[1].bring_to_front()
    tabs[1].get_by_role("button", name="Cancel").click()
    for tab in tabs[1:]:
        tab.bring_to_front()
        expect(outcome(tab)).to_contain_text("Cancelled by ada")
    ends = [numbers(tab) for tab in tabs[1:]]
    assert ends[0] == ends[1] == list(range(1, len(ends[0]) + 1))


def test_started_by_keyboard_alone(page: Page, site: Site) -> None:
    site.propose(page, "markup")
    site.propose(page, "count.5")
    page.goto(site.address())
    expect_live(page)
    link = page.get_by_role("link", name="About count.5")
    for _ in range(20):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    width = link.evaluate("link => getComputedStyle(link).outlineWidth")
    assert width == "2px", "the focus can be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("About count.5")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("Tab")
    expect(run_button(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(outcome(page)).to_contain_text("Passed")
    expect(run_button(page)).to_be_focused()
    expect(page.locator('.visually-hidden[role="status"]')).to_have_text("Validation: Passed")


def test_narrow_screens_scroll_in_one_direction_only(new_context: NewContext, demo: Site) -> None:
    page = new_context(width=NARROW_PX, height=844).new_page()
    page.goto(f"{demo.base}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert sideways_px(page) <= 0
    page.goto(demo.address())
    expect_live(page)
    expect(page.get_by_role("link", name="Waive late fees")).to_be_visible()
    assert sideways_px(page) <= 0
    page.get_by_role("link", name="Waive late fees").click()
    if page.locator(".finding").count() == 0:  # the demo's worker is the same for all tests
        page.get_by_role("button", name="Validate").click()
    expect(outcome(page)).to_contain_text("Failed")
    expect(page.locator(".finding").first).to_be_visible()
    assert sideways_px(page) <= 0
    for tab in ("Revise", "Discussion"):
        page.get_by_role("link", name=tab).click()
        expect(page.locator(".panel textarea")).to_be_visible()
        assert sideways_px(page) <= 0
    page.get_by_role("link", name="All proposals").first.click()
    expect(page.get_by_role("link", name="Waive late fees")).to_be_visible()


def test_signing_in_with_a_pasted_token(page: Page, site: Site) -> None:
    site.propose(page, "markup")
    page.goto(f"{site.base}/")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    field.fill("not a token")
    page.get_by_label("Project").fill(site.project)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not a token")
    field.fill(token("ada", site.project, ttl_s=-5))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("expired")
    field.fill(token("ada", site.project))
    page.get_by_role("button", name="Sign in").click()
    expect_live(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.evaluate("Object.values(sessionStorage).join('')") == ""


def test_a_computer_whose_clock_is_ahead_is_let_in_all_the_same(page: Page, site: Site) -> None:
    proposal = site.propose(page, "count.3")
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=5))
    page.goto(f"{site.base}/")
    page.get_by_label("Token").fill(token("ada", site.project))
    page.get_by_label("Project").fill(site.project)
    page.get_by_role("button", name="Sign in").click()
    expect_live(page)
    expect(page.locator(".banner", has_text="Your sign-in ends")).to_be_hidden()
    page.reload()
    expect_live(page)
    page.get_by_role("link", name=f"About {proposal.split('.page')[0]}").click()
    start_validation(page)
    expect(outcome(page)).to_contain_text("Passed")


def test_a_token_for_another_project_is_refused_in_words(
    page: Page, site: Site, complaints: Complaints
) -> None:
    signed = token("ada", "another")
    page.goto(f"{site.base}/#token={signed}&project={site.project}")
    expect(page.get_by_role("alert")).to_contain_text("You have no access")
    complaints.expect("403")


def test_an_expired_sign_in_is_renewed_where_one_left_off(page: Page, site: Site) -> None:
    proposal = site.propose(page, "count.350")
    site.post(page, f"/proposals/{proposal}/validations", {})
    page.goto(site.address(proposal=proposal, ttl_s=3))
    expect(state(page)).to_have_text("Stopped")
    expect(page.locator(".head .banner")).to_contain_text("Your sign-in is no longer valid")
    page.get_by_role("button", name="Sign in again").first.click()
    page.get_by_label("Token").fill(token("ada", site.project))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect_live(page)
    expect(outcome(page)).to_contain_text("Passed")
    expect_lines(page, 350)
    assert numbers(page) == list(range(1, 351))


@pytest.mark.parametrize("proposal", ["constructor", "toString"])
def test_no_id_is_taken_for_what_javascript_has_by_itself(
    page: Page, site: Site, proposal: str
) -> None:
    site.propose(page, "count.1")
    page.goto(site.address(user="ada"))
    expect_live(page)
    site.post(page, f"/projects/{site.project}/proposals", {"id": proposal, "title": "Odd"})
    page.get_by_role("link", name="Odd").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Odd")
    start_validation(page)
    expect_lines(page, 5)
    page.get_by_role("button", name="Cancel").click()
    expect(outcome(page)).to_contain_text("Cancelled by ada")


def test_the_oldest_of_too_many_connections_says_so_and_can_be_taken_back(
    page: Page, site: Site
) -> None:
    site.propose(page, "markup")
    page.goto(site.address("mia"))
    expect_live(page)
    url = (
        f"ws://{site.worker.address}/ws/projects/{site.project}?token={token('mia', site.project)}"
    )
    with ExitStack() as stack:
        others = [stack.enter_context(connect(url, proxy=None)) for _ in range(5)]
        assert [json.loads(other.recv(10))["type"] for other in others] == ["welcome"] * 5
        expect(state(page)).to_have_text("Stopped")
        expect(page.locator(".head .banner")).to_contain_text("Live updates are off in this window")
        page.get_by_role("button", name="Use this window").click()
        expect_live(page)
        with pytest.raises(ConnectionClosedError, match="4009"):
            deque(others[0], maxlen=0)  # reads on, until it is closed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(new_context: NewContext, demo: Site, scheme: str) -> None:
    context = new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{demo.base}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert poor_contrasts(page) == []
    page.goto(demo.address(proposal="waive-late-fees"))
    expect_live(page)
    if page.locator(".finding").count() == 0:  # the demo's worker is the same for all tests
        page.get_by_role("button", name="Validate").click()
    expect(page.locator(".finding").first).to_be_visible()
    assert poor_contrasts(page) == []
    offline(page, on=True)
    expect(page.locator(".head .banner")).to_be_visible()
    assert poor_contrasts(page) == []
