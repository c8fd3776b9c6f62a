"""Who is here, and the project's lock, on the page."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Response, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.views import expect_live, sideways_px
from tests.support.tokens import token

WIDE_PX, NARROW_PX = 1280, 390
SHOTS = os.environ.get("RT_TEST_SCREENSHOTS")


def _shot(page: Page, name: str) -> None:
    """Keep a picture, for people who want to look."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def _people(page: Page) -> Locator:
    return page.locator("button.people")


def _rows(page: Page) -> Locator:
    return page.locator(".person")


def _lock(page: Page, site: Site, method: str, user: str, **body: Any) -> Any:
    roles = ("admin",) if user == "root" else ()
    answer = page.request.fetch(
        f"http://{site.worker.address}/api/v1/projects/{site.project}/lock",
        method=method,
        data=body or None,
        headers={"Authorization": f"Bearer {token(user, site.project, roles=roles)}"},
    )
    assert answer.ok, answer.text()
    return answer.json() if answer.body() else None


def _is_renewal(answer: Response) -> bool:
    return answer.ok and answer.url.endswith("/lock") and answer.request.method == "PUT"


def _lease_left_s(page: Page, site: Site) -> float:
    """How long the lock is held if nobody renews it; 0 where nobody holds it."""
    lock = _lock(page, site, "GET", "ada")
    if not lock["locked"]:
        return 0.0
    expires = datetime.fromisoformat(lock["expires_at"])
    return (expires - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("width", [WIDE_PX, NARROW_PX])
def test_everybody_sees_who_is_here_and_where(
    new_context: NewContext, site: Site, width: int
) -> None:
    ada = new_context(width).new_page()
    first, second = site.propose(ada, "one"), site.propose(ada, "two")
    ada.goto(site.address("ada", proposal=first, name="Ada Lovelace"))
    expect_live(ada)
    expect(_people(ada)).to_have_accessible_name("Only you are here")
    _people(ada).click()
    panel = ada.get_by_role("region", name="Who is here")
    expect(panel).to_contain_text("Only you. Whoever else opens the project appears here.")
    expect(panel).to_contain_text("Ada Lovelace (you)")

    ben = new_context(WIDE_PX).new_page()
    ben.goto(site.address("ben", proposal=first, name="Ben Bitdiddle"))
    expect_live(ben)
    expect(_people(ben)).to_have_accessible_name("Also here: Ada Lovelace")
    expect(_people(ada)).to_have_accessible_name("Also here: Ben Bitdiddle")
    expect(_rows(ada).nth(1)).to_contain_text("Looking at About one")
    # A second window of the same user shows something else.
    other = ben.context.new_page()
    other.goto(site.address("ben", proposal=second, name="Ben Bitdiddle"))
    expect_live(other)
    expect(_rows(ada).nth(1)).to_contain_text("Looking at About one, About two")
    expect(_rows(ada)).to_have_count(2)
    ben.get_by_role("link", name="About two").first.click()
    expect(_rows(ada).nth(1)).to_have_text("BBBen BitdiddleLooking at About two")
    _shot(ada, f"people-{width}")
    assert sideways_px(ada) == 0

    ada.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(_people(ada)).to_be_focused()
    if width == WIDE_PX:
        item = ada.locator(".item", has_text="About two")
        expect(item.locator(".item-people")).to_contain_text("Looking at it: Ben Bitdiddle")
        _shot(ada, "people-items")
    ben.context.close()
    expect(_people(ada)).to_have_accessible_name("Only you are here")


def test_a_lost_connection_is_said_of_the_list_as_well(page: Page, site: Site) -> None:
    site.propose(page, "one")
    page.goto(site.address())
    expect_live(page)
    _people(page).click()
    page.context.set_offline(True)
    expect(page.locator(".people-panel")).to_contain_text(
        "As it was before the connection was lost."
    )
    page.context.set_offline(False)
    expect_live(page)
    expect(page.locator(".people-panel")).to_contain_text("Only you.")


def test_a_lock_is_taken_kept_and_given_back(new_context: NewContext, site: Site) -> None:
    ada, ben = new_context().new_page(), new_context(NARROW_PX).new_page()
    site.propose(ada, "one")
    ada.goto(site.address("ada", name="Ada Lovelace"))
    ben.goto(site.address("ben"))
    expect_live(ada)
    expect_live(ben)
    ada.get_by_role("button", name="Lock the project").click()
    _shot(ada, "lock-form")
    ada.get_by_label("Lock the project", exact=True).last.fill("Releasing 2.0")
    ada.keyboard.press("Enter")
    expect(ada.locator(".banner", has_text="You have locked the project.")).to_be_visible()
    held = ben.locator(".banner", has_text="Locked by Ada Lovelace.")
    expect(held).to_contain_text("Releasing 2.0")
    expect(held.get_by_role("button", name="Unlock")).to_be_hidden()
    expect(ben.get_by_role("button", name="Lock the project")).to_be_hidden()
    _shot(ada, "lock-mine")
    _shot(ben, "lock-theirs")
    assert sideways_px(ben) == 0
    ada.get_by_role("button", name="Unlock").click()
    expect(held).to_be_hidden()
    assert _lease_left_s(ada, site) == 0


def test_a_page_renews_its_users_lock_and_says_where_it_was_taken_away(
    page: Page, site: Site
) -> None:
    site.propose(page, "one")
    page.goto(site.address())
    expect_live(page)
    # Taken elsewhere, for a moment: the page of the same user keeps it.
    with page.expect_response(_is_renewal):
        _lock(page, site, "PUT", "ada", reason="from a shell", lease_s=3)
    expect(page.locator(".banner", has_text="You have locked the project.")).to_be_visible()
    assert _lease_left_s(page, site) > 60
    # A reload goes on with it.
    _lock(page, site, "PUT", "ada", lease_s=3)
    with page.expect_response(_is_renewal):
        page.reload()
    assert _lease_left_s(page, site) > 60
    _lock(page, site, "DELETE", "root")
    expect(page.locator(".toast", has_text="root took your lock off the project.")).to_be_visible()
    _lock(page, site, "PUT", "ben", reason="mine now")
    expect(page.locator(".banner", has_text="Locked by ben.")).to_be_visible()
