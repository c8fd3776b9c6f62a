"""What a page shows, as a reader would name it."""

import re

from playwright.sync_api import Locator, Page, expect

CONTRASTS = """() => {
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest('.visually-hidden, [aria-disabled="true"], :disabled, .skip')) continue;
    const text = luminance(parse(getComputedStyle(element).color).rgb);
    const under = luminance(ground(element));
    const ratio = (Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.textContent}`);
  }
  return poor;
}"""

MIN_TARGET_PX = 44
SMALL_TARGETS = """minimum => {
  const small = [];
  const all = "a[href], button, input, select, textarea, summary";
  for (const one of document.querySelectorAll(all)) {
    if (!one.checkVisibility({ visibilityProperty: true })) continue;
    // As WCAG 2.2, 2.5.5 has it: what stands amid words, or can be done elsewhere, may be smaller.
    if (one.matches(".line-number, .diff-number a")) continue;
    if (one.matches("a") && getComputedStyle(one).display === "inline") {
      const around = [...one.parentElement.childNodes].filter(node => node !== one);
      if (one.closest("p") || around.some(node => node.textContent.trim())) continue;
    }
    const { width, height } = (one.closest("label") ?? one).getBoundingClientRect();
    const isHidden = width <= 1 || height <= 1;
    if (!isHidden && Math.min(width, height) < minimum - 0.5) {
      small.push(`${one.tagName}.${one.className} ${one.textContent} ${width} x ${height}`);
    }
  }
  return small;
}"""


def state(page: Page) -> Locator:
    """The connection's state, at the top."""
    return page.locator(".pill")


def expect_live(page: Page) -> None:
    """Wait until the page is connected."""
    page.bring_to_front()  # a page behind another draws a frame a second
    expect(state(page)).to_have_text("Live")


NAMES = {"websocket": "WebSocket", "sse": "event stream", "sockjs": "SockJS"}


def expect_transport(page: Page, transport: str) -> None:
    """Wait until the page is live over a transport."""
    page.bring_to_front()
    expect(page.locator('.pill[title*="Over "], .pill[title*=" over "]')).to_have_attribute(
        "title", re.compile(f"[Oo]ver {NAMES[transport]}\\b")
    )


def outcome(page: Page) -> Locator:
    """How the latest run goes or went."""
    return page.locator(".run-status")


def run_button(page: Page) -> Locator:
    """The button that starts or cancels."""
    return page.locator(".run-button")


def lines(page: Page) -> Locator:
    """The lines in the terminal."""
    return page.locator(".terminal-content .line")


def numbers(page: Page) -> list[int]:
    """The numbers of the lines in the terminal, in the order in which they stand there."""
    found = lines(page).evaluate_all("lines => lines.map(line => Number(line.dataset.n))")
    return [int(number) for number in found]


def texts(page: Page) -> list[str]:
    """The lines in the terminal."""
    found = lines(page).evaluate_all("lines => lines.map(line => line.textContent)")
    return [str(text) for text in found]


def start_validation(page: Page) -> None:
    """Press the button, and see that it began."""
    page.get_by_role("button", name="Validate").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()


def expect_lines(page: Page, count: int) -> None:
    """Wait until the terminal has at least so many lines."""
    page.bring_to_front()
    expect(lines(page).nth(count - 1)).to_be_attached()


def sideways_px(page: Page) -> int:
    """How far the page can be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def whole(text: str) -> re.Pattern[str]:
    """A pattern for all of a text."""
    return re.compile(f"^{re.escape(text)}$")


def poor_contrasts(page: Page) -> list[str]:
    """Text that stands out from its ground by less than 4.5 to 1 (WCAG 2, level AA)."""
    return [str(text) for text in page.evaluate(CONTRASTS)]


def small_targets(page: Page) -> list[str]:
    """What a finger is to press and has less than 44 pixels one way (WCAG 2.2, 2.5.5)."""
    return [str(one) for one in page.evaluate(SMALL_TARGETS, MIN_TARGET_PX)]
