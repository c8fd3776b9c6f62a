/**
 * The rows of the table that exist: as many as are in view. One that scrolls out shows another
 * record at the other end; to make it anew would cost the browser several times as much, and at ten
 * rows a frame that is the difference between smooth and not.
 */
import { h } from "../app/dom.js";
import { icon } from "../app/icons.js";
import { timeOf } from "./feed.js";

export const ROW_PX = 36;
const OUTCOMES = new Map([
  ["allowed", { icon: "check", tone: "tone-good" }],
  ["denied", { icon: "stop", tone: "tone-bad" }],
  ["failed", { icon: "warning", tone: "tone-warning" }],
]);
const TEXTS = [timeOf, null, (r) => r.action, (r) => r.actor, (r) => r.target, (r) => r.project_id];

export function outcomeBadge(outcome) {
  const { icon: name, tone } = OUTCOMES.get(outcome) ?? { icon: "info", tone: "tone-quiet" };
  return h(`span.outcome.${tone}`, {}, icon(name), outcome ?? "unknown");
}

/** @param {(record: object) => void} onClick */
function createRow(onClick) {
  const cells = TEXTS.map((_, column) =>
    h(column === 0 || column === 2 ? "span.mono" : "span", { role: "gridcell" }),
  );
  const texts = cells.map((cell) => cell.appendChild(document.createTextNode("")));
  const element = h("div.row", { role: "row", onclick: () => onClick(shown) }, cells);
  let shown = null;
  let outcome = null;

  function fillIn(record) {
    shown = record;
    element.id = `record-${record.id}`;
    TEXTS.forEach((textOf, column) => {
      const text = textOf?.(record);
      if (textOf === null || texts[column].data === (text ?? "–")) return;
      texts[column].data = text ?? "–";
      cells[column].title = text ?? "";
    });
    if (record.outcome === outcome) return;
    outcome = record.outcome;
    element.className = `row is-${OUTCOMES.has(outcome) ? outcome : "other"}`;
    cells[1].replaceChildren(outcomeBadge(outcome));
  }

  return {
    element,
    show(record, index, isCurrent) {
      if (record !== shown) fillIn(record);
      element.style.top = `${index * ROW_PX}px`;
      element.setAttribute("aria-rowindex", String(index + 2));
      element.setAttribute("aria-selected", String(isCurrent));
    },
  };
}

/**
 * @param {HTMLElement} body what holds the rows
 * @param {(record: object) => void} onClick
 */
export function createRows(body, onClick) {
  let rows = new Map();

  return {
    /** Have just these records in view, the first one being the `first`-th of all. */
    show(records, first, current) {
      const wanted = new Set(records);
      const free = [...rows].filter(([record]) => !wanted.has(record)).map(([, row]) => row);
      // Out of the way, so that those which stay are in their places.
      for (const row of free) row.element.remove();
      const next = new Map();
      for (const record of records) {
        next.set(record, rows.get(record) ?? free.pop() ?? createRow(onClick));
      }
      rows = next;
      // In the order in which they are read.
      let place = body.firstChild;
      records.forEach((record, number) => {
        const row = rows.get(record);
        row.show(record, first + number, record === current);
        if (row.element === place) place = place.nextSibling;
        else body.insertBefore(row.element, place);
      });
    },
  };
}
