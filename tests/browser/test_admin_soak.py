"""How smoothly the audit console scrolls with a hundred thousand records: frame times, measured.

What it prints stands in docs/benchmarks.md: `pytest -m soak -s tests/browser/test_admin_soak.py`.
"""

from statistics import median, quantiles

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Site
from tests.support.tokens import token

RECORDS = 100_000
FRAMES = 300

# The page as it is; only what the server would send is made up here: a hundred thousand records
# would take a worker a minute. `window.come(n)` lets n more come.
FEED = """
(() => {
  const words = ["lock.acquired", "connection.opened", "api.called", "event.published"];
  const outcomes = ["allowed", "allowed", "denied", "failed"];
  let n = 0;
  const record = () => {
    n += 1;
    return JSON.stringify({
      type: "audit", id: `e0e0-${n}`, ts: new Date(1.7e12 + n * 10).toISOString(),
      actor: `user-${n % 997}`, action: words[n % 4], outcome: outcomes[n % 4],
      project_id: `project-${n % 31}`, target: `proposal-${n % 89}`, connection_id: null,
      ip: "203.0.113.7", worker: "w1", details: { path: `/api/v1/x/${n}`, status: 200 },
      chain: "w1.5b0c", n, prev: "0".repeat(64), hash: "1".repeat(64),
    });
  };
  window.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    constructor() {
      setTimeout(() => {
        this.take({ type: "welcome", position: "e0e0-0", resume: { outcome: "fresh" } });
        window.come = (count) => {
          for (let i = 0; i < count; i += 1) this.onmessage({ data: record() });
        };
      });
    }
    take(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
    send() {}
    close() {}
  };
})();
"""
# Ten rows further in each frame, from where it is, and back from the end.
SCROLL = """
async ([selector, frames, perFrame]) => {
  const view = document.querySelector(selector);
  const found = [];
  let by = 360;
  const frame = () => new Promise(requestAnimationFrame);
  let last = await frame();
  for (let i = 0; i < frames; i += 1) {
    const before = view.scrollTop;
    view.scrollTop += by;
    if (view.scrollTop === before) by = -by;
    if (perFrame) window.come(perFrame);
    const now = await frame();
    found.push(now - last);
    last = now;
  }
  return found;
}
"""
EMPTY = """<!doctype html><title>empty</title>
<div id="view" style="height:90vh;overflow:auto"><div style="height:3600000px"></div></div>"""


def _scroll(page: Page, selector: str, per_frame: int = 0) -> tuple[float, float, float]:
    """Median, 95th percentile and longest, in milliseconds."""
    frames_ms = page.evaluate(SCROLL, [selector, FRAMES, per_frame])
    return median(frames_ms), quantiles(frames_ms, n=20)[-1], max(frames_ms)


@pytest.mark.soak
def test_a_hundred_thousand_rows_scroll_like_an_empty_page(
    new_context: NewContext, site: Site
) -> None:
    page = new_context().new_page()
    page.set_content(EMPTY)
    empty = _scroll(page, "#view")
    page.add_init_script(FEED)
    page.goto(f"{site.base}/admin#token={token('root', roles=('admin',))}")
    expect(page.locator(".state")).to_have_text("Live")
    page.evaluate(f"window.come({RECORDS})")
    expect(page.locator(".count")).to_have_text("100,000 loaded")
    rows = [("empty page, nothing in it", empty)]
    view = ".table-view"
    page.eval_on_selector(view, "(view) => { view.scrollTop = view.scrollHeight / 2; }")
    rows.append(("100,000 rows", _scroll(page, view)))
    rows.append(("100,000 rows while 600 more come a second", _scroll(page, view, 10)))
    page.get_by_label("Search in what is loaded").fill("denied")
    expect(page.locator(".count")).to_contain_text(" of ")
    page.eval_on_selector(view, "(view) => { view.scrollTop = view.scrollHeight / 2; }")
    rows.append(("a quarter of them, left by a search", _scroll(page, view)))
    for name, (middle_ms, p95_ms, longest_ms) in rows:
        print(f"\n{name}: median {middle_ms:.1f}, p95 {p95_ms:.1f}, longest {longest_ms:.1f} ms")  # noqa: T201
    for name, (middle_ms, p95_ms, _) in rows[1:]:
        assert middle_ms < 1.1 * empty[0], name
        assert p95_ms < 2 * empty[1], name
