"""What a page's reader is told is true, after a gap and after a reload, and nothing is missed."""

import json
import re

import pytest
from playwright.sync_api import Page, Request, Route, WebSocketRoute, expect

from handlers.assets.bundle import find_tool
from tests.browser.conftest import Complaints, NewContext, Site
from tests.browser.views import (
    expect_lines,
    expect_live,
    lines,
    outcome,
    sideways_px,
    start_validation,
)
from tests.support.processes import ROOT
from tests.support.tokens import token

MISSED = re.compile(r'"type": ?"(comment_created|comment_deleted|validation_\w+|output)"')
ENTRY = ".proposal-list .item"
MAX_REQUESTS = 20
MAX_FIRST_BYTES = 250 * 1024
MAX_RELOAD_BYTES = 30 * 1024
NOTIFIES = """
window.notified = []; window.away = false;
window.Notification = class {
    static permission = "granted";
    static requestPermission = async () => "granted";
    constructor(title, { body }) { window.notified.push(body); }
};
Object.defineProperty(document, "hidden", { get: () => window.away });
"""
RTL = "\u05d4\u05e6\u05e2\u05d4"


def test_after_a_gap_runs_and_comments_are_as_they_would_be_after_a_reload(
    new_context: NewContext, site: Site
) -> None:
    """What came meanwhile is withheld from the page, as if the log had been overwritten."""
    page = new_context().new_page()
    shown, other = site.propose(page, "count.5"), site.propose(page, "count.6")
    comments = f"/proposals/{shown}/comments"
    removed = site.post(page, comments, {"text": "Removed in the gap."})
    held: list[WebSocketRoute] = []
    withholds = True

    def between(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        held.append(route)

        def pass_on(message: str | bytes) -> None:
            if not (withholds and MISSED.search(str(message))):
                route.send(message)

        server.on_message(pass_on)

    page.route_web_socket(re.compile("/ws/"), between)
    page.goto(site.address(proposal=shown, view="discussion"))
    expect_live(page)
    expect(page.locator(".comment")).to_have_count(1)
    site.post(page, comments, {"text": "Said in the gap."})
    site.delete(page, f"/comments/{removed['id']}")
    run = site.post(page, f"/proposals/{shown}/validations", {})
    elsewhere = site.post(page, f"/proposals/{other}/validations", {})
    for run_id in (run["run_id"], elsewhere["run_id"]):
        while site.call(page, "GET", f"/runs/{run_id}")["state"] in ("queued", "running"):
            page.wait_for_timeout(20)
    expect(page.locator(ENTRY).first).not_to_contain_text("Passed")
    withholds = False
    held[-1].send(json.dumps({"type": "gap", "requested": "e-1", "lost": 12, "refetch": None}))
    expect(page.get_by_text("All that you see is up to date again")).to_be_visible()
    expect(page.locator(".comment-text")).to_have_text(["Said in the gap."])
    expect(page.locator(ENTRY).nth(1)).to_contain_text("Passed")
    page.get_by_role("link", name="Checks").click()
    expect(outcome(page)).to_contain_text("Passed")
    expect(outcome(page)).to_contain_text("exit status 0")
    expect_lines(page, 5)


def test_one_of_many_is_found_and_in_view(new_context: NewContext, site: Site) -> None:
    page = new_context(width=900, height=700).new_page()
    for number in range(30):
        fields = {"reviewers": ["ada"] if number == 7 else [], "author": "ben" if number else "ada"}
        site.propose(page, f"{'n' * (50 if number % 2 else 5)}.{number:02}", **fields)
    turned = site.propose(page, "turned", title=f"\u202e{RTL} or not", author="ben")
    page.goto(site.address(proposal=turned))
    expect_live(page)
    entries = page.locator(ENTRY)
    expect(entries).to_have_count(31)
    current = page.locator(f'{ENTRY}[aria-current="page"]')
    expect(current).to_be_in_viewport(ratio=1)
    title = current.locator(".item-title")
    expect(title).to_have_text(f"\ufffd{RTL} or not")
    expect(title).to_have_attribute("dir", "auto")
    assert sideways_px(page) == 0
    main = page.locator(".main")
    rights = "all => Math.max(...all.map((one) => one.getBoundingClientRect().right))"
    assert entries.evaluate_all(rights) <= main.evaluate(
        "main => main.getBoundingClientRect().left"
    )
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    entries.first.click()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    expect(current).to_have_attribute("href", re.compile("nnnnn.00"))
    page.get_by_label("Search proposals").fill("TURNED")
    expect(entries).to_have_count(1)
    expect(page.locator(".list-count")).to_have_text("1 of 31 proposals")
    page.get_by_label("Search proposals").fill("no such thing")
    page.get_by_role("button", name="Show all").click()
    expect(entries).to_have_count(31)
    page.get_by_label("Whose").select_option("mine")
    expect(entries).to_have_count(1)
    page.reload()
    expect_live(page)
    expect(entries).to_have_count(1)


def test_what_others_do_is_missed_nowhere(new_context: NewContext, site: Site) -> None:
    """In another proposal, in the title, in all tabs, after a reload, and while it was closed."""
    context = new_context()
    context.add_init_script(NOTIFIES)
    page = context.new_page()
    shown = site.propose(page, "count.3")
    other = site.propose(page, "count.4", author="ada", reviewers=["ben"])
    page.goto(site.address(proposal=shown))
    expect_live(page)
    news = page.locator(f"{ENTRY} .item-news")
    expect(news.nth(1)).to_be_hidden()
    comments = f"/proposals/{other}/comments"
    site.post(page, comments, {"text": "Look at this."}, user="ben")
    line = page.locator(".toasts .toast")
    expect(line).to_contain_text("commented on “About count.4”")
    expect(page.locator(".toasts")).to_have_attribute("aria-live", "polite")
    expect(news.nth(1)).to_have_text("1 new")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    assert page.evaluate("window.notified") == []
    bell = page.get_by_role("button", name="Notify me")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    page.evaluate("window.away = true")
    site.call(page, "PATCH", f"/proposals/{other}", {"status": "in_review"}, "ben")
    # A function: an expression is evaluated anew each time, which the page's policy forbids.
    page.wait_for_function("() => window.notified.length > 0")
    assert page.evaluate("window.notified") == ["ben moved “About count.4” to “In review”"]
    page.evaluate("window.away = false")
    site.post(page, comments, {"text": "My own."})
    page.reload()
    expect_live(page)
    expect(news.nth(1)).to_have_text("2 new")
    second = context.new_page()
    page.goto("about:blank")
    run = site.post(page, f"/proposals/{other}/validations", {})["run_id"]
    while site.call(page, "GET", f"/runs/{run}")["state"] in ("queued", "running"):
        page.wait_for_timeout(20)
    second.goto(site.address(proposal=shown))
    expect_live(second)
    expect(second.locator(f"{ENTRY} .item-news").nth(1)).to_have_text("3 new")
    page.goto(site.address(proposal=other, view="text"))
    expect_live(page)
    expect(page.get_by_role("link", name="Discussion")).to_contain_text("1 new")
    page.get_by_role("link", name="Discussion").click()
    expect(news.nth(1)).to_have_text("1 new")
    page.get_by_role("link", name="Checks").click()
    expect(news.nth(1)).to_be_hidden()
    expect(page).to_have_title(re.compile(r"^About"))
    expect(second.locator(f"{ENTRY} .item-news").nth(1)).to_be_hidden()


def test_links_open_signed_in_and_a_token_of_several_projects_asks_which(
    new_context: NewContext, site: Site
) -> None:
    context = new_context()
    page = context.new_page()
    first, second = site.propose(page, "count.1"), site.propose(page, "count.2")
    page.goto(f"{site.base}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill(site.address(proposal=first, name="Ada Lovelace"))
    expect(page.get_by_label("Project")).to_have_value(site.project)
    page.get_by_label("Token").press("Control+Enter")
    expect_live(page)
    expect(page.locator(".me")).to_have_text("Ada Lovelace")
    expect(page.locator(".meta")).to_contain_text("by Ada Lovelace")
    with context.expect_page() as opened:
        page.locator(ENTRY).nth(1).click(modifiers=["Control"])
    expect_live(opened.value)
    expect(opened.value.locator(".meta code")).to_have_text(second)
    opened.value.close()
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    several = token("ada", site.project, "another")
    page.goto(f"{site.base}/#token={several}")
    page.get_by_role("link", name=site.project, exact=True).click()
    expect_live(page)
    page.get_by_role("link", name="Switch").click()
    expect(page.get_by_role("link", name=site.project, exact=True)).to_be_focused()
    expect(page.get_by_role("link", name="another")).to_be_visible()


def test_a_full_project_says_so_and_is_tried_again(
    page: Page, site: Site, complaints: Complaints
) -> None:
    """A browser is not told why an upgrade was refused: the next way in says it."""
    proposal = site.propose(page, "count.1")
    is_full = True
    problem = {"status": 503, "reason": "project_full", "detail": "All 50 places are taken"}

    def refuse(route: Route) -> None:
        if is_full:
            route.fulfill(status=503, json=problem, headers={"Retry-After": "1"})
        else:
            route.continue_()

    def upgrade(route: WebSocketRoute) -> None:
        if is_full:
            route.close(code=3000)
        else:
            route.connect_to_server()

    page.route_web_socket(re.compile("/ws/"), upgrade)
    page.route("**/proposals/*/events", refuse)
    page.goto(site.address(proposal=proposal))
    banner = page.locator(".head .banner")
    expect(banner).to_contain_text("The project is full. All 50 places are taken.")
    expect(banner).to_contain_text("Trying again")
    is_full = False
    expect_live(page)
    expect(banner).to_be_hidden()
    complaints.expect("503")


def test_axe_finds_nothing(new_context: NewContext, site: Site) -> None:
    """In the list, the bars, the ways in, the console and the page for older browsers."""
    axe = ROOT / "node_modules/axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("npm has not installed axe-core")
    page = new_context(bypass_csp=True).new_page()
    for number in range(3):
        site.propose(page, f"count.{number}", author="ben")
    admin = token("root", roles=("admin",), name="Root")
    several = token("ada", site.project, "another")
    places = [
        ("/", "h1", "body"),
        (f"/#token={several}", "h1", "body"),
        (f"/#token={several}&project={site.project}", ".item", ".page"),
        (f"/admin#token={admin}", ".row", "body"),
        (f"/legacy#token={several}&project={site.project}", "tbody tr", "body"),
    ]
    for path, ready, part in places:
        page.goto("about:blank")
        page.goto(site.base + path)
        expect(page.locator(ready).first).to_be_visible()
        page.add_script_tag(path=axe)
        found = page.evaluate(
            "part => axe.run({include: [part], exclude: ['.detail']}).then(({violations}) =>"
            " violations.map(({id, nodes}) => [id, nodes.map(({html}) => html)]))",
            part,
        )
        assert found == [], path


def test_a_page_is_light(new_context: NewContext, demo: Site) -> None:
    """What a cold cache costs, and a reload: scripts are put together, compressed, and kept."""
    if find_tool(ROOT / "node_modules") is None:
        pytest.skip("npm has not installed esbuild")
    page = new_context().new_page()
    sizes: list[int] = []

    def count(request: Request) -> None:
        told = request.sizes()
        sizes.append(told["responseBodySize"] + told["responseHeadersSize"])

    page.on("requestfinished", count)
    page.goto(demo.address(proposal="waive-late-fees", view="text"))
    expect_live(page)
    expect(page.locator(".text-body h1, .text-body h2").first).to_be_visible()
    first = len(sizes)
    assert first <= MAX_REQUESTS
    assert sum(sizes) < MAX_FIRST_BYTES
    for _ in range(2):  # a busy browser may not have put all away that it was given
        first = len(sizes)
        page.reload()
        expect_live(page)
        expect(page.locator(".text-body h1, .text-body h2").first).to_be_visible()
    assert sum(sizes[first:]) < MAX_RELOAD_BYTES


def test_verdicts_need_no_history(page: Page, site: Site, complaints: Complaints) -> None:
    validated = site.propose(page, "count.3")
    page.goto(site.address(proposal=validated))
    expect_live(page)
    start_validation(page)
    expect(outcome(page)).to_contain_text("Passed")
    page.route(re.compile("/events\\?"), lambda route: route.fulfill(status=503, json={}))
    page.reload()
    expect_live(page)
    expect(page.locator(ENTRY)).to_contain_text("Passed")
    expect(outcome(page)).to_contain_text("Passed")
    expect(lines(page)).to_have_count(0)
    complaints.expect("503")
