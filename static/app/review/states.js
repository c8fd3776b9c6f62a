/** What stands where a text, or what differs between two, is not there: yet, or at all. */
import { h } from "../dom.js";
import { icon } from "../icons.js";

export function loading(what) {
  return h(
    "div.skeleton",
    { role: "status" },
    h("span.visually-hidden", {}, `Loading ${what}`),
    [0, 1, 2, 3].map((at) => h(at % 2 ? "span.bone.short" : "span.bone")),
  );
}

/** @param {string} title @param {...(Node | string)} more what it means, and what to do */
export function nothing(title, ...more) {
  return h(
    "div.empty.center.calm",
    {},
    h("span.empty-mark", {}, icon("file")),
    h("h2", {}, title),
    more.map((each) => (typeof each === "string" ? h("p.muted", {}, each) : each)),
  );
}

const HEADINGS = {
  0: "The server cannot be reached",
  401: "Your sign-in is not valid",
  403: "You may not see this",
  404: "It is not there",
};
const ADVICE = {
  0: "It may be down for a moment, or your network is. This page tries again when it is connected.",
  401: "Sign in again to go on where you left off.",
  503: "The server is busy or has lost its database. Try again in a moment.",
};

/**
 * @param {{status?: number, message: string}} error
 * @param {() => void} retry
 */
export function failed(error, retry) {
  const { status } = error;
  return h(
    "div.empty.center.calm",
    { role: "alert" },
    h("span.empty-mark.tone-bad", {}, icon(status === 0 ? "unplugged" : "warning")),
    h("h2", {}, HEADINGS[status] ?? "This could not be loaded"),
    h("p.muted", {}, ADVICE[status] ?? sentence(error.message)),
    h(
      "div.empty-actions",
      {},
      h("button", { type: "button", onclick: retry }, icon("retry"), "Try again"),
    ),
  );
}

/** What the server said, as a sentence. */
export function sentence(text) {
  const words = String(text ?? "").trim();
  if (words === "") return "The server did not say why.";
  return /[.!?]$/.test(words) ? words : `${words}.`;
}
