"""Output as people know it from a terminal."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.views import expect_live, lines, numbers, outcome, start_validation, texts


def _open(page: Page, site: Site, proposal: str) -> None:
    page.goto(site.address(proposal=site.propose(page, proposal)))
    expect_live(page)
    start_validation(page)


def test_progress_is_one_line_that_changes(page: Page, site: Site) -> None:
    _open(page, site, "progress")
    progress = lines(page).nth(1)
    seen = []
    for part in ("0%", "20%", "40%", "60%", "80%"):
        least = int(part[:-1])
        page.wait_for_function(
            """least => [...document.querySelectorAll('.terminal-content .line')].some(
              line => Number(/(\\d+)%/.exec(line.textContent)?.[1]) >= least)""",
            arg=least,
        )
        seen.append(progress.text_content())
        assert lines(page).count() <= 3
    assert len(set(seen)) >= 3, "it was seen while it went on"
    expect(outcome(page)).to_contain_text("Passed")
    assert texts(page) == ["start", "Downloading 100%", "finished"]
    assert numbers(page) == [1, 2, 3]
    expect(progress.locator(".fg-2")).to_have_text("Downloading")


def test_a_prompt_is_seen_while_it_waits_and_by_those_who_come_later(
    page: Page, site: Site
) -> None:
    _open(page, site, "prompt")
    expect(lines(page).nth(1)).to_have_text("Overwrite it? [y/N] ")
    page.reload()
    expect(lines(page).nth(1)).to_have_text("Overwrite it? [y/N] ")
    page.get_by_role("button", name="Cancel").click()
    expect(outcome(page)).to_contain_text("Cancelled by ada")
    assert texts(page) == ["step 1", "Overwrite it? [y/N] "]


def test_odd_bytes_are_readable_and_what_is_shown_is_what_is_copied(
    new_context: NewContext, site: Site
) -> None:
    context = new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    _open(page, site, "bytes")
    expect(outcome(page)).to_contain_text("Passed")
    shown = [
        "rlo <U+202E>gnp.exe<U+202C> a<U+2028>b nul cd",
        "latin1 caf\ufffd and \ufffd",
        "osc 0;title never ended",
        "Solving: done",
        "Red",
        "Xb",
    ]
    assert texts(page) == shown
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(shown)
