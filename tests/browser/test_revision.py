"""Revisions on the page, with the real server and the demo's stand-in for a language model."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.views import expect_live, outcome, poor_contrasts, run_button

PROPOSAL = "rename-patron-to-member"
WISH = "Say what becomes of old cards"


def _open(page: Page, demo: Site, user: str, proposal: str = PROPOSAL, *, query: str = "") -> None:
    page.goto(demo.address(user, proposal=proposal, view="revise", query=query))
    expect_live(page)


def _expect_said(page: Page, characters: int) -> None:
    """Wait until so much of the reply stands there."""
    page.bring_to_front()
    page.wait_for_function(
        "many => document.querySelector('.reply')?.textContent.length >= many", arg=characters
    )


def _reply(page: Page) -> str:
    return page.locator(".reply").text_content() or ""


def test_a_revision_is_the_same_for_who_asked_who_came_late_and_who_was_cut_off(
    new_context: NewContext, demo: Site
) -> None:
    first, late, cut, last = (new_context(reduced_motion="reduce").new_page() for _ in range(4))
    position = demo.call(first, "GET", "/projects/demo")["position"]
    _open(first, demo, "cleo")
    expect(first.locator(".model-note")).to_contain_text("No language model is set up")
    _open(cut, demo, "ben", query="?transport=sse")
    first.get_by_label("What should change?").fill(WISH)
    first.get_by_role("button", name="Revise").click()
    expect(first.locator(".run-status .badge")).to_have_text("Demo")
    expect(outcome(first)).to_contain_text("Writing")
    _expect_said(cut, 40)
    cut.context.set_offline(True)
    _expect_said(first, 300)
    _open(late, demo, "dora")
    _expect_said(late, 300)
    grown = len(_reply(late))
    _expect_said(late, grown + 40)  # it goes on there, too
    expect(outcome(late)).to_contain_text("Writing")
    expect(run_button(late)).to_have_text("Running")  # not hers to stop
    cut.context.set_offline(False)
    pages = (first, late, cut, last)
    for page in pages[:3]:
        page.bring_to_front()
        expect(outcome(page)).to_contain_text("Done")
    _open(last, demo, "eva")
    expect(outcome(last)).to_contain_text("Done")
    events = [event for event in demo.events(first, position) if event["proposal_id"] == PROPOSAL]
    said = "".join(event["content"] for event in events if event["type"] == "token")
    (end,) = (event for event in events if event["type"] == "iteration_complete")
    for page in pages:
        assert _reply(page) == said
        expect(page.locator(".asked")).to_have_text(WISH)
        expect(page.locator(".verdict")).to_contain_text("Validation: passed")
        files = page.locator(".diff summary code").all_text_contents()
        assert files == end["files_modified"]
        expect(page.locator(".diff-line.added", has_text=WISH)).not_to_have_count(0)
    made = first.locator(".outcome-revision")
    expect(made).to_contain_text("It is revision 2")
    expect(made.get_by_role("link", name="See what it changed")).to_be_visible()
    for scheme in ("light", "dark"):
        first.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert poor_contrasts(first) == []
    folder = demo.workspaces / "demo" / "openspec" / "changes" / PROPOSAL
    shown = first.locator(".diff", has_text="tasks.md").locator(".diff-line.added")
    added = [line[1:].rstrip("\n") for line in shown.all_text_contents()]
    written = (folder / "tasks.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in added if line] == [line for line in written[-len(added) :] if line]


def test_a_revision_is_stopped_and_writes_nothing(page: Page, demo: Site) -> None:
    proposal = "add-hold-queue"
    folder = demo.workspaces / "demo" / "openspec" / "changes" / proposal
    before = (folder / "tasks.md").read_text(encoding="utf-8")
    _open(page, demo, "ada", proposal)
    page.get_by_label("What should change?").fill("Shorter queues")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("What should change?")).to_have_value("")
    _expect_said(page, 40)
    page.get_by_role("button", name="Stop").click()
    expect(outcome(page)).to_contain_text("Cancelled by ada")
    assert len(_reply(page)) < 1000
    expect(page.locator(".diff")).to_have_count(0)
    assert (folder / "tasks.md").read_text(encoding="utf-8") == before


SHOWS_THOUGHTS = """async () => {
  const { createIteration } = await import("/static/app/views/iteration.js");
  const { emptyState, reduceAll } = await import("/static/client/reducer.js");
  let seq = 0;
  const event = (type, fields) =>
    ({ id: `e-${++seq}`, type, project_id: "demo", proposal_id: "p1", run_id: "r1",
       ts: new Date().toISOString(), ...fields });
  const token = (n, fields) => event("token", { n, content: "", ...fields });
  const state = emptyState("demo");
  state.proposals.p1 = { id: "p1", author: "ada", reviewers: [], revision: null };
  const texts = { revisions: () => ({ list: [] }) };
  const store = { state, texts, connection: { name: "live" }, serverNow: Date.now };
  const runs = { list: () => ({ runs: [], next: null, error: null }) };
  const actions = { me: () => ({ id: "ada" }) };
  const { Drafts } = await import("/static/app/drafts.js");
  const drafts = new Drafts({ user: "ada", project: "demo" });
  const view = createIteration({ store, actions, drafts, runs, names: { of: String } });
  document.querySelector("main").replaceChildren(view.element);
  for (const batch of [
    [event("iteration_start", { model: "m", instruction: "x", actor: "ada" }),
     token(1, { reasoning: "Let me " })],
    [token(2, { reasoning: "think." })],
    [token(3, { content: "Here " }), token(4, { content: "it is." })],
    [token(5, { reasoning: "Hm." })],
  ]) {
    store.state = reduceAll(store.state, batch);
    view.update("p1", { run: null });
  }
}"""


def test_thoughts_are_shown_as_such(page: Page, demo: Site) -> None:
    _open(page, demo, "ada")
    page.evaluate(SHOWS_THOUGHTS)
    assert page.locator(".reply .reasoning").all_text_contents() == ["Let me think.", "Hm."]
    assert _reply(page) == "Let me think.Here it is.Hm."
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert poor_contrasts(page) == []
