from pathlib import Path
from tests.browser.conftest import NewContext, Site
from tests.browser.views import expect_live, sideways_px, poor_contrasts
from tests.support.tokens import token
OUT = Path("/tmp/w/p18shots"); OUT.mkdir(exist_ok=True)

def test_shots(new_context: NewContext, site: Site) -> None:
    seed = new_context().new_page()
    a = site.propose(seed, "count.3", author="ada", reviewers=["ben"])
    b = site.propose(seed, "count.4", author="ada", reviewers=["ben"])
    for width in (1440, 390):
        for scheme in ("light", "dark"):
            ctx = new_context(width, 900, color_scheme=scheme)
            page = ctx.new_page()
            page.goto(f"{site.base}/")
            page.get_by_role("heading", name="Sign in").wait_for()
            page.screenshot(path=OUT / f"signin-{width}-{scheme}.png")
            page.goto(f"{site.base}/#token={token('ada', site.project, 'another', name='Ada Lovelace')}")
            page.get_by_role("heading", name="Choose a project").wait_for()
            page.screenshot(path=OUT / f"choice-{width}-{scheme}.png")
            page.goto(f"{site.base}/#project={site.project}&proposal={a}")
            expect_live(page)
            site.post(seed, f"/proposals/{b}/comments", {"text": "Look at this."}, user="ben")
            page.locator(".toast").first.wait_for()
            page.wait_for_timeout(200)
            page.screenshot(path=OUT / f"news-{width}-{scheme}.png")
            print(width, scheme, sideways_px(page), poor_contrasts(page))
            ctx.set_offline(True)
            page.locator(".head .banner").wait_for()
            page.screenshot(path=OUT / f"offline-{width}-{scheme}.png")
            ctx.close()
