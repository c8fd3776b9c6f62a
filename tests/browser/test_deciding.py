"""A proposal is reviewed on the page, from reading to archive."""

import re
from dataclasses import replace
from itertools import count

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Complaints, NewContext, Site
from tests.browser.test_reading import write
from tests.browser.views import expect_live, poor_contrasts, sideways_px

SPEC = """# holds Specification

## Purpose

Keeps the rules of reserving a title in one place for everybody.

## Requirements

### Requirement: Keep a copy

A returned copy SHALL be kept for six days.

#### Scenario: Returned

- **WHEN** a copy is returned
- **THEN** it is kept
"""
DELTA = """## MODIFIED Requirements

### Requirement: Keep a copy

A returned copy SHALL be kept for seven days.

#### Scenario: Returned

- **WHEN** a copy is returned
- **THEN** it is kept
"""
FILES = {
    "proposal.md": "# Longer\n\n## Why\n\nSix days are too few for those who live far away.\n\n"
    "## What Changes\n\n- Seven days.\n",
    "specs/holds/spec.md": DELTA,
    "tasks.md": "## 1. Do\n\n- [x] 1.1 Print it\n",
}
MOST_TABS = 60

_numbers = count(1)


def real_project(demo: Site) -> Site:
    """A project with specs on the worker that has the real validator."""
    site = replace(demo, project=f"deciding-{next(_numbers)}")
    specs = site.workspaces / site.project / "openspec" / "specs" / "holds" / "spec.md"
    specs.parent.mkdir(parents=True)
    specs.write_text(SPEC, encoding="utf-8")
    return site


def propose(page: Page, site: Site, name: str, **fields: object) -> str:
    """A proposal with a text, in review by ben."""
    proposal = f"{name}-{site.project}"
    write(site, proposal, FILES)
    body = {"id": proposal, "title": "Keep it longer", "reviewers": ["ben"], "status": "in_review"}
    site.post(page, f"/projects/{site.project}/proposals", {**body, **fields})
    return proposal


def tab_to(page: Page, target: Locator) -> None:
    """Reach something by the Tab key, as those without a mouse do."""
    expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(target).to_be_focused(timeout=1)


def test_a_proposal_is_reviewed_from_reading_to_archive_by_keyboard(
    new_context: NewContext, demo: Site
) -> None:
    site = real_project(demo)
    page = new_context().new_page()
    proposal = propose(page, site, "keys")
    page.goto(site.address("ben", proposal=proposal, view=""))
    expect_live(page)

    def button(name: str) -> Locator:
        return page.get_by_role("button", name=name, exact=True)

    expect(page.get_by_role("heading", name="Longer", exact=True)).to_be_visible()
    expect(page.locator(".decide-summary")).to_have_text("0 of 1 approval of revision 1 given.")

    tab_to(page, page.get_by_role("link", name="Changes", exact=True))
    page.keyboard.press("Enter")
    expect(page.locator(".requirement ins")).to_have_text("seven")
    expect(page.locator(".requirement del")).to_have_text("six")

    page.get_by_role("heading", level=1).focus()
    tab_to(page, button("Review"))
    page.keyboard.press("Enter")
    page.keyboard.type("Yes, @")
    expect(page.get_by_role("option", name="@ada")).to_be_visible()
    page.keyboard.press("Enter")
    tab_to(page, button("Approve"))
    page.keyboard.press("Enter")
    expect(page.locator(".verdict-row").first).to_contain_text("approved revision 1")
    expect(page.locator(".verdict-row .mention")).to_have_text("@ada")

    # The text moves on: what was approved is stale, and accepting it is not offered any more.
    expect(button("Accept")).to_have_attribute("aria-disabled", "false")
    change = {"base": 1, "files": {"proposal.md": FILES["proposal.md"] + "- And a half.\n"}}
    site.post(page, f"/proposals/{proposal}/revisions", change)
    expect(page.locator(".badge.stale")).to_be_visible()
    expect(button("Accept")).to_have_attribute("aria-disabled", "true")
    assert poor_contrasts(page) == []
    tab_to(page, page.get_by_role("link", name="see what changed"))
    page.keyboard.press("Enter")
    expect(page.locator(".diff-text.added")).to_contain_text("And a half.")

    page.get_by_role("heading", level=1).focus()
    tab_to(page, button("Review"))
    page.keyboard.press("Enter")
    tab_to(page, button("Approve"))
    page.keyboard.press("Enter")
    expect(page.locator(".decide-summary")).to_have_text(
        "All approvals are there: revision 2 can be accepted."
    )
    tab_to(page, button("Accept"))
    page.keyboard.press("Enter")
    expect(page.locator(".decide-summary")).to_contain_text("Revision 2 is approved")
    tab_to(page, button("Archive…"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("writes its requirements into the specs")
    tab_to(page, dialog.get_by_role("button", name="Archive, and update the specs"))
    page.keyboard.press("Enter")
    expect(page.locator(".decide-summary")).to_contain_text("Archived")
    expect(button("Review")).to_be_hidden()
    spec = site.workspaces / site.project / "openspec" / "specs" / "holds" / "spec.md"
    assert "seven days" in spec.read_text(encoding="utf-8")


def test_what_the_server_refuses_is_said_in_words(
    new_context: NewContext, demo: Site, complaints: Complaints
) -> None:
    site = real_project(demo)
    page = new_context(width=390).new_page()
    proposal = propose(page, site, "refused")
    page.goto(site.address("ben", proposal=proposal, view="text"))
    expect_live(page)
    page.get_by_role("button", name="Review", exact=True).click()
    # The event that would say so is late, so the server has to.
    page.evaluate("document.querySelector('.review-form textarea').value = 'Good'")
    page.context.set_offline(True)
    words = re.compile("You are offline: this cannot be sent")
    expect(page.locator(".review-form .hint")).to_have_text(words)
    validate = page.get_by_role("button", name="Validate", exact=True)
    expect(validate).to_have_accessible_description(words)
    assert sideways_px(page) <= 0
    assert poor_contrasts(page) == []
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.locator(".refusal")).to_contain_text("The server did not answer")
    page.context.set_offline(False)
    expect_live(page)
    site.post(
        page, f"/proposals/{proposal}/revisions", {"base": 1, "files": {"design.md": "# D\n"}}
    )
    expect(page.locator(".review-about")).to_contain_text("it is revision 2 now")
    assert sideways_px(page) <= 0
    page.get_by_role("button", name="Decide on revision 2").click()
    page.get_by_role("button", name="Request changes", exact=True).click()
    expect(page.locator(".decide-summary")).to_contain_text("ben asked for changes")
    expect(page.locator(".verdict-text")).to_have_text("Good")
    page.get_by_role("button", name="Accept", exact=True).click(force=True)
    expect(page.locator(".refusal")).to_be_hidden()
    # OpenSpec does not archive what has no place in its specs.
    bad = DELTA.replace("Keep a copy", "Not there")
    site.post(
        page, f"/proposals/{proposal}/revisions", {"base": 2, "files": {"specs/holds/spec.md": bad}}
    )
    approve = {"verdict": "approve", "revision": 3}
    site.post(page, f"/proposals/{proposal}/reviews", approve, user="ben")
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator(".decide-summary")).to_contain_text("Revision 3 is approved")
    page.get_by_role("button", name="Archive…").click()
    page.get_by_role("button", name="Archive, and update the specs").click()
    expect(page.locator(".refusal")).to_contain_text("OpenSpec refused to archive it")
    expect(page.locator(".refusal-detail")).to_contain_text("Not there")
    expect(page.locator(".decide-summary")).to_contain_text("Revision 3 is approved")
    complaints.expect("Failed to load resource")
