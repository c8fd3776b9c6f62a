/** The strip under the top bar: said only when the connection needs words. */
import { fill, h, setText, show } from "../dom.js";
import { timeOf } from "../format.js";
import { icon } from "../icons.js";
import { describeConnection } from "../words.js";

const TONE_ICONS = { warning: "unplugged", bad: "warning" };
/** A connection that is taken up again this soon is not worth a strip. */
const PATIENCE_MS = 700;
const EXPIRES_SOON_MS = 5 * 60_000;

export function createConnectionBanner({ store, actions }) {
  const mark = h("span.banner-mark");
  const title = h("strong");
  const detail = h("span.banner-detail");
  const countdown = h("span.countdown", { "aria-hidden": "true" });
  const button = h("button.small", { type: "button" });
  const element = h(
    "div.banner",
    { hidden: true },
    mark,
    h("p.banner-text", {}, title, " ", detail),
    countdown,
    button,
  );
  let action = null;
  button.addEventListener("click", () => actions[action]?.());
  let drawn = "";
  let troubledSince = null;

  return {
    element,
    update() {
      const now = Date.now();
      const words = describeConnection(store.connection, now);
      const troubled = words.tone === "warning" || words.tone === "bad";
      troubledSince = troubled ? (troubledSince ?? now) : null;
      const visible = troubled && (words.tone === "bad" || now - troubledSince >= PATIENCE_MS);
      show(element, visible);
      if (!visible) return;
      if (drawn !== words.tone) {
        drawn = words.tone;
        element.className = `banner tone-${words.tone}`;
        fill(mark, icon(TONE_ICONS[words.tone]));
      }
      setText(title, words.title.replace(/\.?$/, "."));
      setText(detail, words.detail);
      setText(countdown, words.countdown);
      action = words.action?.name ?? null;
      show(button, words.action !== null);
      setText(button, words.action?.label ?? "");
    },
  };
}

/** What could not be caught up with. It stays until it is put away. */
export function createGapBanner() {
  const text = h("p.banner-text");
  const element = h("div.banner.tone-warning", { role: "status", hidden: true });
  const dismiss = h(
    "button.small",
    { type: "button", onclick: () => show(element, false) },
    "Dismiss",
  );
  element.append(h("span.banner-mark", {}, icon("warning")), text, dismiss);
  return {
    element,
    say(words) {
      setText(text, words);
      show(element, true);
    },
  };
}

/** A sign-in that is about to expire. */
export function createExpiryBanner({ store, actions }) {
  const expiryText = h("p.banner-text");
  const expiry = h(
    "div.banner.tone-warning",
    { hidden: true },
    h("span.banner-mark", {}, icon("clock")),
    expiryText,
    h("button.small", { type: "button", onclick: actions["sign-in"] }, "Sign in again"),
  );
  return {
    element: h("div.banners", {}, expiry),
    update() {
      const expires = store.tokenExpiresAt;
      const left = expires === null ? Infinity : expires - store.serverNow();
      const soon = left > 0 && left < EXPIRES_SOON_MS && store.connection.name !== "stopped";
      show(expiry, soon);
      if (soon) {
        fill(
          expiryText,
          h("strong", {}, `Your sign-in ends at ${timeOf(expires)}.`),
          " Sign in again to stay connected.",
        );
      }
    },
  };
}
