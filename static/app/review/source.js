/** A file as it is written, line by line, each with its number. */
import { h } from "../dom.js";

/** More lines than these are drawn on demand. */
const SHOWN = 4_000;

/**
 * @param {string} text
 * @param {{path: string, onLine: ((line: number) => void) | null}} options onLine: comment on it
 */
export function sourceOf(text, { path, onLine }) {
  const lines = text.replace(/\n$/, "").split("\n");
  const list = h("ol.source-lines");
  const draw = (from, to) =>
    list.append(...lines.slice(from, to).map((line, at) => lineOf(line, from + at + 1, onLine)));
  draw(0, SHOWN);
  const more = h("button", { type: "button" }, `Show ${lines.length - SHOWN} more lines`);
  more.addEventListener("click", () => {
    more.remove();
    draw(SHOWN, lines.length);
  });
  return h(
    "div.source",
    { role: "region", tabIndex: 0, "aria-label": `Source of ${path}` },
    list,
    lines.length > SHOWN && more,
  );
}

function lineOf(line, n, onLine) {
  const number = onLine
    ? h(
        "button.line-number",
        { type: "button", tabIndex: -1, title: `Comment on line ${n}`, onclick: () => onLine(n) },
        h("span.visually-hidden", {}, "Line "),
        String(n),
      )
    : h("span.line-number", {}, String(n));
  const element = h("li.source-line", {}, number, h("code", {}, line === "" ? "\u00a0" : line));
  element.dataset.line = String(n);
  return element;
}
