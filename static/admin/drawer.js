/** One record in full. Everything in it is text from outside, and shown as text. */
import { fill, h } from "../app/dom.js";
import { icon } from "../app/icons.js";
import { timeOf } from "./feed.js";
import { outcomeBadge } from "./rows.js";

const FACTS = [
  ["actor", "Actor"],
  ["target", "Target"],
  ["project_id", "Project"],
  ["connection_id", "Connection"],
  ["ip", "Address"],
  ["worker", "Worker"],
];
const NARROWS = new Set(["actor", "target", "project_id"]);

/**
 * @param {object} options
 * @param {() => void} options.onClose
 * @param {(name: string, value: string) => void} options.onNarrow
 * @param {(by: number) => object | null} options.onStep
 */
export function createDrawer({ onClose, onNarrow, onStep }) {
  const title = h("h2.mono", { id: "drawer-title", tabIndex: -1 });
  const content = h("div.drawer-content");
  const element = h(
    "aside.drawer",
    { "aria-labelledby": "drawer-title", hidden: true },
    h(
      "header.drawer-head",
      {},
      title,
      h("button.quiet.small", { type: "button", onclick: close }, icon("cross"), "Close"),
    ),
    content,
  );
  let shown = null;

  function draw(record) {
    shown = record;
    fill(title, record.action);
    const json = JSON.stringify(record, null, 2);
    fill(
      content,
      h("p.drawer-line", {}, outcomeBadge(record.outcome), h("time", {}, timeOf(record))),
      h(
        "dl.facts",
        {},
        FACTS.filter(([name]) => record[name]).map(([name, label]) => [
          h("dt", {}, label),
          h(
            "dd",
            {},
            h("span.mono", {}, String(record[name])),
            NARROWS.has(name) &&
              h(
                "button.quiet.small",
                {
                  type: "button",
                  onclick: () => onNarrow(name, String(record[name])),
                  "aria-label": `Only records with ${label.toLowerCase()} ${record[name]}`,
                },
                "Only these",
              ),
          ),
        ]),
      ),
      h(
        "div.json-head",
        {},
        h("h3", {}, "JSON"),
        h(
          "button.quiet.small",
          { type: "button", onclick: (event) => copy(json, event.currentTarget) },
          icon("copy"),
          "Copy",
        ),
      ),
      h("pre.json", { tabIndex: 0, "aria-label": "The record as JSON" }, json),
    );
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      button.lastChild.textContent = "Copied";
    } catch {
      button.lastChild.textContent = "Not allowed here";
    }
  }

  function close() {
    if (!shown) return;
    shown = null;
    element.hidden = true;
    onClose();
  }

  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if ((event.key === "j" || event.key === "k") && !event.ctrlKey && !event.metaKey) {
      const next = onStep(event.key === "j" ? 1 : -1);
      if (next) draw(next);
    }
  });

  return {
    element,
    open(record) {
      draw(record);
      element.hidden = false;
      title.focus();
    },
    close,
  };
}
