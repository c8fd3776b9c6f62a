"""Validations and iterations that were: listed, opened, and their findings read in the text."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, Site
from tests.browser.test_deciding import DELTA, propose, real_project
from tests.browser.views import expect_live, outcome, texts

BAD = DELTA.replace("A returned copy SHALL be kept for seven days.", "It is kept.")


def _validate(page: Page, site: Site, proposal: str) -> str:
    run = site.post(page, f"/proposals/{proposal}/validations", {})["run_id"]
    while site.call(page, "GET", f"/runs/{run}")["state"] in ("queued", "running"):
        page.wait_for_timeout(20)
    return str(run)


def test_earlier_runs_are_opened_and_findings_lead_into_the_text(
    page: Page, demo: Site, complaints: Complaints
) -> None:
    site = real_project(demo)
    proposal = propose(page, site, "checks")
    first = _validate(page, site, proposal)
    change = {"base": 1, "files": {"specs/holds/spec.md": BAD}}
    site.post(page, f"/proposals/{proposal}/revisions", change)
    _validate(page, site, proposal)
    page.goto(site.address(proposal=proposal, view="checks"))
    expect_live(page)
    expect(outcome(page)).to_contain_text("Failed")
    rows = page.locator(".run-row")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("Outdated")
    rows.nth(1).click()
    expect(outcome(page)).to_contain_text("Passed")
    expect(page.locator(".run-outdated")).to_contain_text("this was revision 1")
    assert f"run={first}" in page.url
    assert texts(page) == [f"Change '{proposal}' is valid"]
    page.get_by_role("link", name="Show the newest validation").click()
    expect(outcome(page)).to_contain_text("Failed")
    page.locator(".finding a").first.click()
    expect(page.locator(".file-title")).to_have_text("specs/holds/spec.md")
    page.evaluate(
        "location.hash = location.hash.replace(/view=.*/, 'view=checks&run=0123456789abcdef')"
    )
    notice = page.locator(".validation .text-notice")
    expect(notice).to_contain_text("There is no run")
    expect(notice).to_contain_text("Show the newest validation")
    complaints.expect("404")
