"""Tabs that share a connection, where the leading one is suspended or hangs."""

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import NewContext, Site
from tests.browser.views import expect_lines, expect_live, numbers, outcome, state

ROLE = """() => new Promise((done) => navigator.locks.query().then(({held, pending}) => done(
  [held.length, pending.length])))"""


def _suspend(page: Page, how: str) -> CDPSession:
    """Let no script of a page run any more, whether it is told before or not."""
    session = page.context.new_cdp_session(page)
    if how == "freeze":
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
    else:
        session.send("Debugger.enable")
        session.send("Debugger.pause")
    return session


def _wake(session: CDPSession, how: str) -> None:
    if how == "freeze":
        session.send("Page.setWebLifecycleState", {"state": "active"})
    else:
        session.send("Debugger.resume")
        session.send("Debugger.disable")


@pytest.mark.parametrize("how", ["freeze", "hang"])
def test_a_suspended_leader_is_replaced_by_the_tab_that_is_seen(
    new_context: NewContext, site: Site, how: str
) -> None:
    context = new_context()
    leader, follower = context.new_page(), context.new_page()
    proposal = site.propose(leader, "endless")
    before = site.worker.metric("rtserver_connections")
    for tab in (leader, follower):
        tab.goto(site.address(proposal=proposal))
        expect_live(tab)
    assert site.worker.metric("rtserver_connections") == before + 1
    assert follower.evaluate(ROLE) == [1, 1]
    session = _suspend(leader, how)
    # It is not told: what it shows is live, and a command is what a reader would try.
    follower.get_by_role("button", name="Validate").click()
    expect(follower.get_by_role("button", name="Cancel")).to_be_visible()
    expect_lines(follower, 40)
    expect(state(follower)).to_have_text("Live")
    _wake(session, how)
    expect_live(leader)
    expect_lines(leader, 60)
    follower.bring_to_front()
    follower.get_by_role("button", name="Cancel").click()
    for tab in (leader, follower):
        tab.bring_to_front()
        expect(outcome(tab)).to_contain_text("Cancelled by ada")
    shown = [numbers(tab) for tab in (leader, follower)]
    assert shown[0] == shown[1] == list(range(1, len(shown[0]) + 1))


def test_a_tab_that_only_watches_notices_that_its_leader_is_suspended(
    new_context: NewContext, site: Site
) -> None:
    context = new_context()
    leader, follower = context.new_page(), context.new_page()
    proposal = site.propose(leader, "count.20")
    for tab in (leader, follower):
        tab.goto(site.address(proposal=proposal))
        expect_live(tab)
    session = _suspend(leader, "hang")
    site.post(follower, f"/proposals/{proposal}/validations", {})
    expect(outcome(follower)).to_contain_text("Passed")
    assert numbers(follower) == list(range(1, 21))
    _wake(session, "hang")
    leader.bring_to_front()
    expect(outcome(leader)).to_contain_text("Passed")
    assert numbers(leader) == list(range(1, 21))
