"""The text of a proposal on the page: read, live, and safe whatever stands in it."""

import contextlib
import re

from playwright.sync_api import Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Complaints, Site
from tests.browser.views import expect_live, poor_contrasts, sideways_px

PROPOSAL_MD = """# Fair queue

Some **bold** words, a [spec](specs/holds/spec.md), a [site](https://example.org/), a
[trap](javascript:alert(1)) and ![picture](https://example.org/p.png).

<img src=x onerror="document.title='run'"><script>document.title = "run"</script>

| a | b |
|:-:|---|
| 1 | 2 |
"""
FILES = {
    "proposal.md": PROPOSAL_MD,
    "specs/holds/spec.md": "## ADDED Requirements\n\n### Requirement: Queue\n\nIt SHALL queue.\n",
    "tasks.md": "# Tasks\n\n- [x] 1.1 Order\n- [ ] 1.2 Show\n",
}


def write(site: Site, proposal: str, files: dict[str, str]) -> None:
    """Put files into a proposal's folder, as an editor does."""
    folder = site.workspaces / site.project / "openspec" / "changes" / proposal
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def test_a_text_is_read_file_by_file_and_is_never_run(page: Page, site: Site) -> None:
    proposal = f"read.{site.project}"
    write(site, proposal, FILES)
    site.propose(page, "read")
    page.goto(site.address(proposal=proposal, view=""))
    body = page.locator(".text-body")
    expect(body.get_by_role("heading", name="Fair queue")).to_be_visible()
    expect(page.locator(".revision-bar")).to_contain_text("Revision 1 (newest)")
    assert body.locator("img, script").count() == 0
    assert "<script>" in body.inner_text()
    assert body.locator("a[href^='javascript']").count() == 0
    expect(body.get_by_role("link", name="site")).to_have_attribute(
        "rel", "noopener noreferrer nofollow"
    )
    assert poor_contrasts(page) == []
    body.get_by_role("link", name="spec", exact=True).click()
    expect(body.get_by_role("heading", name="Requirement: Queue")).to_be_visible()
    assert "file=specs%2Fholds%2Fspec.md" in page.url
    page.get_by_role("link", name="Next: tasks.md").click()
    expect(body.get_by_role("img", name="Done:")).to_have_count(1)
    expect(page.locator(".files")).to_contain_text("1 of 2 tasks done")
    page.get_by_role("button", name="Source").click()
    expect(page.locator(".source-line").nth(2)).to_contain_text("- [x] 1.1 Order")
    page.set_viewport_size({"width": 390, "height": 800})
    assert sideways_px(page) <= 0
    page.get_by_role("button", name="Rendered").click()
    assert sideways_px(page) <= 0
    assert page.title() != "run"


def test_a_text_appears_changes_and_is_put_back_while_one_looks(
    page: Page, site: Site, complaints: Complaints
) -> None:
    proposal = site.propose(page, "live")
    page.goto(site.address(proposal=proposal, view="text"))
    expect_live(page)
    expect(page.get_by_role("heading", name="No text yet")).to_be_visible()
    site.post(
        page, f"/proposals/{proposal}/revisions", {"base": 0, "files": {"proposal.md": "# First\n"}}
    )
    body = page.locator(".text-body")
    expect(body.get_by_role("heading", name="First")).to_be_visible()
    site.post(
        page,
        f"/proposals/{proposal}/revisions",
        {"base": 1, "files": {"proposal.md": "# Second\n"}, "note": "better"},
        user="ada",
    )
    expect(body.get_by_role("heading", name="Second")).to_be_visible()
    expect(page.locator(".revision-facts")).to_contain_text("Sent by ada: “better”")
    expect(page.locator(".text-notice")).to_contain_text("Changed since you last looked")
    page.get_by_label("Revision", exact=True).select_option("1")
    expect(body.get_by_role("heading", name="First")).to_be_visible()
    expect(page.locator(".text-notice")).to_contain_text("The newest is revision 2")
    page.get_by_role("button", name="Put this text back").click()
    expect(page).not_to_have_url(re.compile("revision="))
    expect(page.locator(".revision-bar")).to_contain_text("Revision 3 (newest)")
    expect(body.get_by_role("heading", name="First")).to_be_visible()
    page.get_by_label("Revision", exact=True).select_option("2")
    answers: list[Route] = []

    def hold(route: Route) -> None:
        answers.append(route)

    page.route("**/restore", hold)
    with page.expect_request("**/restore"):
        page.get_by_role("button", name="Put this text back").click()
    page.evaluate("location.hash += '9'")
    expect(page.locator(".stand")).to_contain_text("There is no revision 29")
    answers[0].continue_()
    expect(page.get_by_text("The text of revision 2 is back, as revision 4.")).to_be_visible()
    expect(page.locator(".stand")).to_contain_text("There is no revision 29")
    page.route("**/revisions?**", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    expect_live(page)
    page.unroute("**/revisions?**")
    # It may just be trying again by itself, since the connection is there.
    with contextlib.suppress(PlaywrightTimeoutError):
        page.get_by_role("button", name="Try again").click(timeout=2_000)
    expect(page.locator(".stand")).to_contain_text("There is no revision 29")
    complaints.expect("Failed to load resource")


def test_a_collision_is_told_and_stands_with_both(page: Page, site: Site) -> None:
    spec = "specs/holds/spec.md"
    write(site, f"one.{site.project}", FILES)
    site.propose(page, "one", title="The first")
    other, elsewhere = (site.propose(page, name, title=name) for name in ("other", "elsewhere"))
    page.goto(site.address(proposal=elsewhere, view="text"))
    expect_live(page)
    marks = page.locator(".item .badge:visible", has_text="Collides")
    expect(marks).to_have_count(0)
    path = f"/proposals/{other}/revisions"
    site.post(page, path, {"base": 0, "files": {spec: FILES[spec]}})
    line = page.locator(".toast", has_text="now touch the same requirement, “Queue”")
    expect(line).to_be_visible()
    expect(marks).to_have_count(2)
    line.get_by_role("link").click()  # it is there once, although both are ada's
    box = page.get_by_role("region", name="Collisions")
    expect(box).to_contain_text("Queue in holds, both add it.")
    box.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(box.get_by_role("link")).to_be_visible()
    site.post(page, path, {"base": 1, "files": {spec: FILES[spec].replace("Queue", "Row")}})
    expect(box).to_be_hidden()
    expect(marks).to_have_count(0)


def test_the_first_file_is_written_on_the_page(page: Page, site: Site) -> None:
    proposal = site.propose(page, "empty", title="Nothing yet")
    page.goto(site.address(proposal=proposal, view="text"))
    write = page.get_by_role("button", name="Write the first file")
    write.click()
    field = page.get_by_label("proposal.md", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value(re.compile("^# Nothing yet\n\n## Why\n"))
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(write).to_be_focused()
    page.keyboard.press("e")
    field.fill("# Something\n")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".text-body").get_by_role("heading", name="Something")).to_be_visible()
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    folder = site.workspaces / site.project / "openspec" / "changes" / proposal
    assert (folder / "proposal.md").read_text() == "# Something\n"


def test_files_are_edited_added_and_deleted_by_keyboard_into_one_revision(
    page: Page, site: Site, complaints: Complaints
) -> None:
    proposal = f"edit.{site.project}"
    write(site, proposal, FILES)
    site.propose(page, "edit")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site.address(proposal=proposal, view="text"))
    expect_live(page)
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()
    page.keyboard.press("e")
    field = page.get_by_label("proposal.md", exact=True)
    expect(field).to_be_focused()
    assert sideways_px(page) <= 0
    assert poor_contrasts(page) == []
    page.keyboard.press("Control+A")
    page.keyboard.type("# Shorter\n")
    page.reload()
    expect(field).to_have_value("# Shorter\n")
    page.get_by_label("Add a file").focus()
    page.keyboard.type("../design.md")
    page.keyboard.press("Enter")
    expect(page.get_by_label("../design.md", exact=True)).to_be_focused()
    page.keyboard.type("x")
    page.get_by_role("button", name="Save").press("Enter")
    problem = page.locator(".editor").get_by_role("alert")
    expect(problem).to_contain_text("may not be written")
    page.get_by_role("button", name="Do not add this file").press("Enter")
    page.get_by_label("Upload, or drop here").set_input_files(
        {"name": "design.md", "mimeType": "text/markdown", "buffer": b"# Design\n"}
    )
    expect(page.get_by_label("design.md", exact=True)).to_have_value("# Design\n")
    page.evaluate("location.hash += '&file=tasks.md'")
    expect(page.get_by_label("tasks.md", exact=True)).to_have_value(FILES["tasks.md"])
    page.get_by_role("button", name="Delete this file").press("Enter")
    path = f"/proposals/{proposal}/revisions"
    site.post(page, path, {"base": 1, "files": {"proposal.md": "# Theirs\n"}}, user="ada")
    moved = page.locator(".editor").get_by_role("status")
    expect(moved).to_contain_text("it is revision 2 now")
    page.get_by_label("What you changed").fill("by hand")
    page.get_by_role("button", name="Save").press("Enter")
    expect(problem).to_contain_text("Somebody changed the same file meanwhile")
    moved.get_by_role("button", name="Go on from revision 2").press("Enter")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator(".revision-facts")).to_contain_text("by hand")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    folder = site.workspaces / site.project / "openspec" / "changes" / proposal
    assert (folder / "proposal.md").read_text() == "# Shorter\n"
    assert (folder / "design.md").read_text() == "# Design\n"
    assert not (folder / "tasks.md").exists()
    complaints.expect("Failed to load resource")
