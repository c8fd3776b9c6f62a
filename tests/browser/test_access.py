"""The reviewer's views for everybody: axe-core finds nothing, keys work, and it fits and prints."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.test_deciding import propose, real_project
from tests.browser.views import expect_live, sideways_px, small_targets
from tests.support.processes import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const { violations } = await axe.run();
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 160))]);
}"""
VIEWS = ("text", "changes", "discussion", "checks", "revise")


def _findings(page: Page) -> Any:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    return page.evaluate(RUN)


def _talked_about(page: Page, demo: Site) -> tuple[Site, str]:
    """A proposal with threads, a stale approval, a request for changes, and a validation."""
    site = real_project(demo)
    proposal = propose(page, site, "access", reviewers=["ben", "cleo"])
    path = f"/proposals/{proposal}"
    anchor = {"revision": 1, "path": "proposal.md", "heading": "Why", "line": 3}
    lost = {"revision": 1, "path": "proposal.md", "quote": "- Seven days."}
    first = site.post(page, f"{path}/comments", {"text": "Why *so*?", "anchor": anchor}, user="ben")
    site.post(page, f"{path}/comments", {"text": "`Yes`", "reply_to": first["id"]})
    site.post(page, f"{path}/comments", {"text": "All days?", "anchor": lost})
    site.post(page, f"{path}/reviews", {"verdict": "approve", "revision": 1}, user="ben")
    text = "# Longer\n\n## Why\n\n| a | b |\n|---|---|\n| 1 | `2` |\n\n- [x] done\n"
    site.post(page, f"{path}/revisions", {"base": 1, "files": {"proposal.md": text}})
    verdict = {"verdict": "request_changes", "revision": 2, "text": "Say **more**."}
    site.post(page, f"{path}/reviews", verdict, user="cleo")
    site.post(page, f"{path}/validations", {})
    propose(page, site, "rival", title="Keep it for ever")
    return site, proposal


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: `make test` gets it")
def test_the_reviewers_views_are_for_everybody(new_context: NewContext, demo: Site) -> None:
    wide = new_context(1440, reduced_motion="reduce").new_page()
    site, proposal = _talked_about(wide, demo)
    narrow = new_context(
        390, 844, color_scheme="dark", reduced_motion="reduce", has_touch=True, is_mobile=True
    ).new_page()
    for page in (wide, narrow):
        page.goto(site.address("ben", proposal=proposal, view="text"))
        expect_live(page)
        expect(page.locator(".lost-threads .thread")).to_be_visible()
        expect(page.get_by_role("region", name="Collisions")).to_contain_text("Keep it for ever")
        assert _findings(page) == []
        page.get_by_role("button", name="Review", exact=True).click()
        page.get_by_role("button", name="Comment on “Why”").click()
        assert _findings(page) == []
        if page is narrow:
            assert small_targets(page) == []
        for view in VIEWS[1:]:
            page.evaluate(
                "view => { location.hash = location.hash.replace(/view=.*/, `view=${view}`); }",
                view,
            )
            expect(page.locator(".tab[aria-current]")).to_contain_text(view.capitalize())
            if view == "changes":
                expect(page.locator(".word-diff ins")).to_be_visible()
            if view == "checks":
                expect(page.locator(".run-status")).to_contain_text("Passed")
            assert (view, _findings(page)) == (view, [])
            assert sideways_px(page) <= 0, view
            if page is narrow:
                assert (view, small_targets(page)) == (view, [])
    narrow.keyboard.press("1")
    narrow.keyboard.press("e")
    expect(narrow.get_by_role("button", name="Save")).to_be_visible()
    assert small_targets(narrow) == []
    narrow.locator(".back").click()
    expect(narrow.locator(".item").first).to_be_visible()
    assert small_targets(narrow) == []
    # 200 % of 1440 pixels.
    wide.set_viewport_size({"width": 720, "height": 450})
    for number in ("1", "2", "3", "4"):
        wide.keyboard.press(number)
        expect(wide.locator(".tab[aria-current]")).to_contain_text(
            VIEWS[int(number) - 1].capitalize()
        )
        assert sideways_px(wide) <= 0, number


def test_single_keys_do_what_the_help_says_and_can_be_turned_off(page: Page, demo: Site) -> None:
    site = real_project(demo)
    proposal = propose(page, site, "keyed")
    page.goto(site.address("ben", proposal=proposal, view="text"))
    expect_live(page)
    expect(page.locator(".file-title")).to_have_text("proposal.md")
    page.keyboard.press("?")
    help_dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_dialog).to_contain_text("The next file of the text")
    page.keyboard.press("Escape")
    expect(help_dialog).to_be_hidden()
    page.keyboard.press("n")
    expect(page.locator(".file-title")).to_have_text("specs/holds/spec.md")
    page.keyboard.press("p")
    expect(page.locator(".file-title")).to_have_text("proposal.md")
    page.keyboard.press("]")
    page.keyboard.press("]")
    expect(page.get_by_role("heading", name="Why")).to_be_focused()
    page.keyboard.press("m")
    expect(page.get_by_label("Your comment on this place")).to_be_focused()
    page.keyboard.type("3?")
    expect(page.locator(".tab[aria-current]")).to_contain_text("Text")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.locator(".source-line").first).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_label("What do you think of it?")).to_be_focused()
    page.keyboard.press("Escape")
    page.emulate_media(media="print")
    for gone in (".topbar", ".sidebar", ".tabs", ".files"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator(".text-body")).to_be_visible()
    page.emulate_media(media="screen")
    page.keyboard.press("?")
    page.get_by_label("Use single keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".tab[aria-current]")).to_contain_text("Text")
