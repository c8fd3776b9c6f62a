"""The audit console in a real browser."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import Complaints, NewContext, Restartable, Site
from tests.browser.views import expect_live, poor_contrasts, sideways_px, small_targets, state
from tests.support.tokens import token

FORGED = "<img src=x onerror=\"document.title='forged'\">"


def _open(page: Page, site: Site, query: str = "") -> None:
    signed = token("root", roles=("admin",), name="Root")
    page.bring_to_front()  # a page behind another draws a frame a second
    page.goto(f"{site.base}/admin{query}#token={signed}")
    expect(page.locator(".state")).to_have_text("Live")


def _act(page: Page, site: Site, user: str, reason: str) -> None:
    """Something that is recorded."""
    answer = page.request.put(
        f"{site.base}/api/v1/projects/{site.project}/lock",
        data={"reason": reason},
        headers={"Authorization": f"Bearer {token(user, site.project)}"},
    )
    assert answer.ok, answer.text()


def test_what_happens_appears_at_once_and_is_shown_as_text(page: Page, site: Site) -> None:
    _open(page, site, f"?project_id={site.project}")
    assert "token" not in page.url
    _act(page, site, "eve", FORGED)
    row = page.locator(".rows .row", has_text="lock.acquired")
    expect(row).to_have_count(1)
    row.click()
    expect(page.locator(".json")).to_contain_text("onerror")
    assert page.title() != "forged"
    assert page.locator(".json img").count() == 0


def test_a_filter_stands_in_the_address_and_can_be_shared(page: Page, site: Site) -> None:
    for user in ("ada", "eve"):
        page.request.delete(
            f"{site.base}/api/v1/projects/{site.project}/lock",
            headers={"Authorization": f"Bearer {token(user, site.project)}"},
        )
        _act(page, site, user, "a reason")
        page.request.delete(
            f"{site.base}/api/v1/projects/{site.project}/lock",
            headers={"Authorization": f"Bearer {token(user, site.project)}"},
        )
    _open(page, site)
    page.get_by_label("Action").fill("lock.*")
    page.get_by_label("Actor").fill("eve")
    page.get_by_label("Project", exact=True).fill(site.project)
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"actor=eve"))
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)
    shared = page.url
    page.goto("about:blank")
    page.goto(shared)
    expect(page.get_by_label("Actor")).to_have_value("eve")
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)
    expect(page.locator(".rows .row", has_text="ada")).to_have_count(0)


def test_a_mistake_in_a_filter_is_named(page: Page, site: Site) -> None:
    _open(page, site)
    page.get_by_label("Action").fill("lock.akquired")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".note")).to_contain_text("lock.akquired")
    expect(page.locator(".state")).to_have_text("Stopped")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".state")).to_have_text("Live")


def test_it_is_used_by_keyboard_alone(page: Page, site: Site) -> None:
    _act(page, site, "ada", "by hand")
    _open(page, site, f"?project_id={site.project}")
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)
    grid = page.get_by_role("grid")
    for _ in range(25):
        page.keyboard.press("Tab")
        if grid.evaluate("(grid) => grid === document.activeElement"):
            break
    else:
        pytest.fail("the table cannot be reached by Tab")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary")).to_be_hidden()
    expect(grid).to_be_focused()


def test_pausing_holds_records_back_and_loses_none(page: Page, site: Site) -> None:
    _open(page, site, f"?project_id={site.project}&action=lock.*")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".state")).to_have_text("Paused")
    _act(page, site, "ada", "meanwhile")
    # What comes by another way proves that the record is in the log and was held back.
    signed = token("root", roles=("admin",))
    read = f"{site.base}/api/v1/audit?project_id={site.project}&action=lock.acquired"
    for _ in range(100):
        answer = page.request.get(read, headers={"Authorization": f"Bearer {signed}"})
        if answer.json()["records"]:
            break
        page.wait_for_timeout(50)
    expect(page.locator(".rows .row")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)


def test_search_and_export_give_what_is_shown(page: Page, site: Site) -> None:
    _act(page, site, "ada", "=1+1")
    _open(page, site, f"?project_id={site.project}")
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)
    page.get_by_label("Search in what is loaded").fill("lock.acquired ada")
    expect(page.locator(".rows .row")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON Lines").click()
    exported = Path(download.value.path()).read_text().splitlines()
    assert [json.loads(line)["action"] for line in exported] == ["lock.acquired"]
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("id,ts,actor,action,outcome")
    assert len(lines) == 2


def test_what_strangers_were_refused_is_shown_apart(page: Page, site: Site) -> None:
    refused = page.request.get(
        f"{site.base}/api/v1/projects/{site.project}",
        headers={"X-Forwarded-For": "198.51.100.23"},
    )
    assert refused.status == 401
    _open(page, site, "?action=token.*")
    page.get_by_label("Whose").select_option("strangers")
    expect(page).to_have_url(re.compile(r"[?&]log=strangers"))
    expect(page.locator(".rows .row", has_text="token.refused").first).to_be_visible()
    page.reload()
    expect(page.get_by_label("Whose")).to_have_value("strangers")
    expect(page.locator(".rows .row", has_text="token.refused").first).to_be_visible()


def test_what_is_not_loaded_is_counted_read_back_and_exported(page: Page, site: Site) -> None:
    """The feed withholds ada's records here, as it does those beyond the newest thousand."""
    for user in ("ada", "eve"):
        _act(page, site, user, "a reason")
        page.request.delete(
            f"{site.base}/api/v1/projects/{site.project}/lock",
            headers={"Authorization": f"Bearer {token(user, site.project)}"},
        )

    def between(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda sent: None if '"ada"' in str(sent) else route.send(sent))

    page.route_web_socket(re.compile("/ws/audit"), between)
    _open(page, site, f"?project_id={site.project}&action=lock.*")
    rows = page.locator(".rows .row")
    expect(rows).to_have_count(2)
    expect(page.locator(".chart-words")).to_contain_text("4 in the last 5 minutes: 4 allowed")
    expect(page.locator(".chart-most")).to_have_text(re.compile(r"^most in 5 s: [2-4]$"))
    expect(page.locator(".chart-axis span")).to_have_count(3)
    _act(page, site, "eve", "another")
    expect(page.locator(".chart-words")).to_contain_text("5 in the last 5 minutes")
    page.get_by_role("button", name="Older").click()
    expect(rows).to_have_count(5)
    expect(page.locator(".note")).to_have_text("These are all that are kept.")
    page.locator(".chart-area", has_text="allowed").last.click()
    expect(page).to_have_url(re.compile("since=.*until="))
    expect(page.locator(".chart-words")).to_contain_text("in this time")
    page.go_back()
    expect(page).not_to_have_url(re.compile("since="))
    expect(page.locator(".chart-words")).to_contain_text("5 in the last 5 minutes")
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON Lines").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 5
    expect(page.locator(".note")).to_have_text("5 records that match were exported.")


def test_a_connection_is_ended_and_its_page_says_so(page: Page, site: Site) -> None:
    other = page.context.new_page()
    site.propose(other, "markup")
    other.goto(site.address("cleo"))
    expect_live(other)
    _open(page, site)
    page.get_by_role("tab", name="Connections").click()
    page.get_by_role("button", name="Disconnect cleo").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="This one")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Disconnect cleo").first).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(state(other)).to_have_text("Stopped")
    expect(other.locator(".head .banner")).to_contain_text("An administrator ended your connection")
    expect(page.get_by_role("button", name="This one")).to_have_count(0)
    # Whoever works by keyboard is not thrown back to the top of the page.
    page.wait_for_function(
        "() => document.querySelector('.panel').contains(document.activeElement)"
    )
    page.get_by_role("tab", name="Records").click()
    expect(page.locator(".rows .row", has_text="connection.disconnected").first).to_be_visible()
    other.close()


def test_a_users_tokens_are_revoked_and_their_page_says_so(
    page: Page, site: Site, complaints: Complaints
) -> None:
    other = page.context.new_page()
    other.goto(site.address("mallory"))
    expect_live(other)
    _open(page, site)
    page.get_by_role("tab", name="Connections").click()
    page.get_by_role("button", name="Disconnect mallory").first.click()
    page.get_by_role("button", name="All, and revoke tokens").click()
    expect(page.get_by_role("button", name="Disconnect mallory")).to_have_count(0)
    expect(state(other)).not_to_have_text("Live")
    other.goto(site.address("mallory"))
    expect(other.get_by_text("revoked")).to_be_visible()
    complaints.expect("401")
    page.get_by_role("tab", name="Records").click()
    expect(page.locator(".rows .row", has_text="user.revoked").first).to_be_visible()
    other.close()


def test_it_comes_back_after_a_restart_with_nothing_missed(
    page: Page, restartable: Restartable
) -> None:
    site = restartable.site
    _open(page, site, f"?project_id={site.project}&action=lock.*")
    _act(page, site, "ada", "before")
    expect(page.locator(".rows .row")).to_have_count(1)
    restartable.stop()
    expect(page.locator(".state")).not_to_have_text("Live")
    restartable.start()
    page.request.delete(
        f"{site.base}/api/v1/projects/{site.project}/lock",
        headers={"Authorization": f"Bearer {token('ada', site.project)}"},
    )
    expect(page.locator(".state")).to_have_text("Live")
    expect(page.locator(".rows .row", has_text="lock.released")).to_have_count(1)
    expect(page.locator(".rows .row", has_text="lock.acquired")).to_have_count(1)


def test_a_hundred_thousand_rows_cost_no_more_than_what_is_in_view(page: Page, site: Site) -> None:
    _open(page, site)
    counts = page.evaluate(
        """async () => {
          const { createTable } = await import("/static/admin/table.js");
          const table = createTable({ onOpen() {} });
          const box = document.createElement("div");
          box.style.cssText = "position:fixed;inset:0;z-index:99";
          box.append(table.element);
          document.body.append(box);
          const records = Array.from({ length: 100000 }, (_, n) => ({
            id: `e-${n}`, ts: "2026-01-01T00:00:00.000Z", action: "a.b", outcome: "allowed",
          }));
          table.update(records);
          const view = table.element;
          const seen = [];
          for (const part of [0, 0.5, 1]) {
            view.scrollTop = part * view.scrollHeight;
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            seen.push(view.querySelectorAll(".rows .row").length);
          }
          const last = view.querySelector(".rows .row:last-child").id;
          box.remove();
          return { seen, last };
        }"""
    )
    assert max(counts["seen"]) < 100
    assert counts["last"] == "record-e-0"


def test_a_phone_does_not_scroll_sideways_and_a_finger_finds_all(
    new_context: NewContext, site: Site
) -> None:
    page = new_context(width=390, has_touch=True, is_mobile=True).new_page()
    _open(page, site)
    assert sideways_px(page) <= 0
    assert small_targets(page) == []
    page.locator(".rows .row").first.tap()
    expect(page.locator(".json")).to_be_visible()
    assert small_targets(page) == []
    page.get_by_role("button", name="Close").tap()
    page.get_by_role("tab", name="Connections").click()
    expect(
        page.locator('.connections td[data-label="User"]', has_text="root").first
    ).to_be_visible()
    assert sideways_px(page) <= 0
    assert small_targets(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(new_context: NewContext, site: Site, scheme: str) -> None:
    page = new_context(color_scheme=scheme, reduced_motion="reduce").new_page()
    page.goto(f"{site.base}/admin")
    expect(page.get_by_label("Token")).to_be_visible()
    assert poor_contrasts(page) == []
    _open(page, site, "?actor=nobody-of-this-name")
    expect(page.get_by_text("No records yet")).to_be_visible()
    assert poor_contrasts(page) == []
    page.get_by_role("button", name="Clear").click()
    page.locator(".rows .row").first.click()
    expect(page.locator(".json")).to_be_visible()
    assert poor_contrasts(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Connections").click()
    expect(page.locator(".connections td").first).to_be_visible()
    assert poor_contrasts(page) == []


def test_without_the_role_admin_there_is_nothing_to_see(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/admin#token={token('ada', site.project)}")
    expect(page.get_by_role("alert")).to_contain_text("admin")
    expect(page.get_by_role("grid")).to_have_count(0)
