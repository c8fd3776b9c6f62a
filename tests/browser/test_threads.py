"""Threads about places in a text: begun, answered, settled, and found again in a newer one."""

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.test_reading import write
from tests.browser.views import expect_live, poor_contrasts, sideways_px

TEXT = (
    "# Queue\n\n## Why\n\nPeople wait for **popular** books.\n\n## Impact\n\nSlips are printed.\n"
)
SELECT = """words => {
  const body = document.querySelector('.text-body');
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf(words[0]);
    if (at >= 0 && range.startContainer === document) range.setStart(walker.currentNode, at);
    const end = walker.currentNode.data.indexOf(words[1]);
    if (end >= 0) { range.setEnd(walker.currentNode, end + words[1].length); break; }
  }
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  body.dispatchEvent(new KeyboardEvent('keyup', { bubbles: true }));
}"""


def test_a_place_in_the_text_is_talked_about_until_it_is_settled(
    new_context: NewContext, site: Site
) -> None:
    ada, ben = (new_context(width=width).new_page() for width in (1440, 390))
    proposal = f"threads.{site.project}"
    write(site, proposal, {"proposal.md": TEXT})
    site.propose(ada, "threads", reviewers=["ben"])
    ada.goto(site.address("ada", proposal=proposal, view="text"))
    ben.goto(site.address("ben", proposal=proposal, view="text"))
    expect_live(ada)
    expect_live(ben)
    expect(ben.get_by_role("heading", name="Queue")).to_be_visible()

    # What is selected runs over marks of Markdown, which the source has between the words.
    ben.evaluate(SELECT, ["wait", "books"])
    ben.get_by_role("button", name="Comment", exact=True).click()
    field = ben.get_by_label("Your comment on this place")
    expect(field).to_be_focused()
    field.fill("How *long*, @ada?")
    ben.reload()
    expect_live(ben)
    expect(field).to_have_value("How *long*, @ada?")
    ben.get_by_role("button", name="Comment here").click()
    thread = ada.locator(".text-body .thread")
    expect(thread.locator(".comment-text em")).to_have_text("long")
    (made,) = site.call(ada, "GET", f"/proposals/{proposal}/comments")["comments"]
    assert made["anchor"]["quote"] == "wait for **popular** books"
    assert (made["anchor"]["line"], made["anchor"]["heading"]) == (5, "Why")
    expect(ada.locator(".tab-count")).to_contain_text("1 open thread")
    expect(ada.locator(".file-threads")).to_have_text("1")
    assert sideways_px(ben) <= 0
    assert poor_contrasts(ben) == []

    thread.get_by_role("button", name="Reply").click()
    expect(ada.get_by_label("Your reply")).to_be_focused()
    ada.keyboard.type("A month.")
    ada.keyboard.press("Control+Enter")
    expect(thread.locator(".comment")).to_have_count(2)
    expect(ben.locator(".thread .comment")).to_have_count(2)
    ben.locator(".thread").get_by_role("button", name="Edit").click()
    ben.get_by_label("Your comment, changed").fill("How long?")
    ben.get_by_role("button", name="Save").click()
    expect(thread).to_contain_text("(edited)")

    # By the keyboard: a heading's own button.
    ada.get_by_role("button", name="Comment on “Impact”").focus()
    ada.keyboard.press("Enter")
    ada.keyboard.type("Which slips?")
    ada.keyboard.press("Control+Enter")
    expect(ben.locator(".tab-count")).to_contain_text("2 open threads")

    moved = TEXT.replace("People wait for **popular** books.\n", "They wait.\n").replace(
        "# Queue", "# Q\n"
    )
    site.post(ada, f"/proposals/{proposal}/revisions", {"base": 1, "files": {"proposal.md": moved}})
    lost = ada.locator(".lost-threads .thread")
    expect(lost).to_contain_text("Outdated")
    expect(ada.locator(".text-body > .thread")).to_contain_text("Which slips?")
    ada.locator(".text-body > .thread").get_by_role("button", name="Resolve").click()
    expect(ben.locator(".is-resolved .thread-summary")).to_contain_text("Resolved by ada")
    expect(ben.locator(".tab-count")).to_contain_text("1 open thread")

    _in_the_list(ada, ben, site, proposal, made["id"])


def test_an_answer_that_comes_late_takes_the_focus_from_nobody(page: Page, site: Site) -> None:
    proposal = f"late.{site.project}"
    write(site, proposal, {"proposal.md": TEXT})
    site.propose(page, "late", author="ben", reviewers=["ada"])
    held: list[Route] = []
    page.route(
        "**/comments",
        lambda route: held.append(route) if route.request.method == "POST" else route.continue_(),
    )
    page.goto(site.address(proposal=proposal, view="text"))
    expect_live(page)
    page.get_by_role("button", name="Comment on “Impact”").click()
    page.keyboard.type("Which slips?")
    page.get_by_role("button", name="Comment here").click()
    page.get_by_role("button", name="Review", exact=True).click()
    verdict = page.get_by_label("What do you think of it?")
    expect(verdict).to_be_focused()
    held[0].continue_()
    expect(page.locator(".new-thread")).to_have_count(0)
    expect(page.locator(".text-body .thread")).to_contain_text("Which slips?")
    expect(verdict).to_be_focused()


def test_who_is_told_of_no_comment_sees_it_all_the_same(page: Page, site: Site) -> None:
    proposal = site.propose(page, "others", author="ben", reviewers=["cleo"])
    page.goto(site.address("eve", proposal=proposal, view="discussion"))
    expect_live(page)
    expect(page.locator(".panel")).to_contain_text("Nobody has said anything yet")
    path = f"/proposals/{proposal}/comments"
    made = site.post(page, path, {"text": "Why so late?"}, user="ben")
    said = page.locator(".threads .comment-text")
    expect(said).to_have_text("Why so late?")
    page.get_by_label("Your comment").fill("Half a")
    site.call(page, "PATCH", f"/comments/{made['id']}", {"text": "Why so soon?"}, user="ben")
    expect(said).to_have_text("Why so soon?")
    expect(page.get_by_label("Your comment")).to_have_value("Half a")


def _in_the_list(ada: Page, ben: Page, site: Site, proposal: str, first: str) -> None:
    place = f"project={site.project}&proposal={proposal}&view=discussion&thread={first}"
    ben.evaluate("place => { location.hash = place; }", place)
    shown = ben.locator(".threads .thread").first
    expect(shown).to_be_focused()
    expect(shown.locator(".thread-quote")).to_have_text("wait for **popular** books")
    for number in range(35):
        site.post(ada, f"/proposals/{proposal}/comments", {"text": f"Number {number}"})
    expect(ben.locator(".threads .thread")).to_have_count(37)
    ben.goto("about:blank")
    ben.goto(site.address("ben", proposal=proposal, view="discussion"))
    expect(ben.locator(".threads .thread")).to_have_count(30)
    expect(ben.locator(".threads")).to_contain_text("Number 34")
    ben.get_by_role("button", name="Show 7 of 7 earlier").click()
    expect(ben.locator(".threads .thread")).to_have_count(37)
    ben.locator(".threads .thread").first.get_by_role("button", name="Delete").click()
    ben.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(ben.locator(".threads .thread").first).not_to_contain_text("How long?")
    expect(ada.locator(".tab-count")).to_be_hidden()
