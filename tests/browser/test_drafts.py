"""What was typed and not sent stays with its proposal."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Site
from tests.browser.views import expect_live


def _comment(page: Page) -> Locator:
    return page.get_by_label("Your comment")


def _open(page: Page, site: Site, proposal: str, view: str = "discussion") -> None:
    """Go to a view of a proposal as a link does: the page is not loaded anew."""
    page.evaluate(
        "place => { location.hash = new URLSearchParams(place).toString(); }",
        {"project": site.project, "proposal": proposal, "view": view},
    )
    expect(page.locator(".meta code")).to_have_text(proposal)


def test_a_comment_that_is_not_sent_stays_with_its_proposal(page: Page, site: Site) -> None:
    first, second = (site.propose(page, name, author="ada") for name in ("one", "two"))
    page.goto(site.address(proposal=first))
    expect_live(page)
    _open(page, site, first)
    _comment(page).fill("about the first")
    site.post(page, f"/proposals/{first}/comments", {"text": "another's"}, user="ben")
    expect(page.locator(".comment-text")).to_have_text("another's")
    expect(_comment(page)).to_have_value("about the first")
    _open(page, site, second)
    expect(_comment(page)).to_have_value("")
    _comment(page).fill("about the second")
    page.reload()
    expect_live(page)
    expect(_comment(page)).to_have_value("about the second")
    _open(page, site, first)
    expect(_comment(page)).to_have_value("about the first")


def test_a_comment_is_cleared_where_it_was_sent_from(page: Page, site: Site) -> None:
    first, second = (site.propose(page, name, author="ada") for name in ("one", "two"))
    held: list[Callable[[], None]] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route.continue_)
        else:
            route.continue_()

    page.route("**/comments", hold)
    page.goto(site.address(proposal=first))
    expect_live(page)
    _open(page, site, first)
    _comment(page).fill("about the first")
    page.get_by_role("button", name="Comment", exact=True).click()
    _open(page, site, second)
    _comment(page).fill("about the second")
    expect(page.get_by_role("button", name="Comment", exact=True)).to_be_enabled()
    with page.expect_response("**/comments"):
        held.pop()()
    expect(_comment(page)).to_have_value("about the second")
    _open(page, site, first)
    expect(page.locator(".comment-text")).to_have_text("about the first")
    expect(_comment(page)).to_have_value("")
    page.get_by_role("button", name="Sign out").click()
    assert page.evaluate("Object.values(sessionStorage).join('')") == ""


def test_an_instruction_that_is_not_sent_stays_with_its_proposal(page: Page, demo: Site) -> None:
    first, second = "add-hold-queue", "waive-late-fees"
    field = page.get_by_label("What should change?")
    page.goto(demo.address(proposal=first))
    expect_live(page)
    _open(page, demo, first, "revise")
    field.fill("Shorter queues")
    _open(page, demo, first, "discussion")
    _comment(page).fill("Longer ones?")
    _open(page, demo, second, "revise")
    expect(field).to_have_value("")
    page.reload()
    expect_live(page)
    expect(field).to_have_value("")
    _open(page, demo, first, "revise")
    expect(field).to_have_value("Shorter queues")
    _open(page, demo, first, "discussion")
    expect(_comment(page)).to_have_value("Longer ones?")
