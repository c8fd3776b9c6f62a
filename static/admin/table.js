/**
 * The records as a table of which only what is in view exists, so that a hundred thousand rows
 * scroll like ten. Newest on top. What is read stays where it is while records come in above it.
 */
import { h } from "../app/dom.js";
import { createRows, ROW_PX } from "./rows.js";

const SPARE_ROWS = 8;

/**
 * @param {object} options
 * @param {(record: object) => void} options.onOpen
 */
export function createTable({ onOpen }) {
  const body = h("div.rows", { role: "presentation" });
  const view = h(
    "div.table-view",
    {
      role: "grid",
      tabIndex: 0,
      "aria-label": "Audit records, newest first",
      "aria-colcount": 6,
    },
    h(
      "div.row.row-head",
      { role: "row", "aria-rowindex": 1 },
      ["Time", "Outcome", "Action", "Actor", "Target", "Project"].map((name) =>
        h("span", { role: "columnheader" }, name),
      ),
    ),
    body,
  );
  const rows = createRows(body, (record) => choose(record, true));
  let records = [];
  let current = null;
  let drawn = "";

  const at = (index) => records[records.length - 1 - index];
  const indexOf = (record) => records.length - 1 - records.lastIndexOf(record);
  const head = () => view.firstElementChild.offsetHeight;

  function draw(force = false) {
    const first = Math.max(0, Math.floor(view.scrollTop / ROW_PX) - SPARE_ROWS);
    const count = Math.ceil(view.clientHeight / ROW_PX) + 2 * SPARE_ROWS;
    const last = Math.min(records.length, first + count);
    const wanted = `${first}-${last}-${records.length}-${current?.id}`;
    if (!force && wanted === drawn) return;
    drawn = wanted;
    body.style.height = `${records.length * ROW_PX}px`;
    view.setAttribute("aria-rowcount", String(records.length + 1));
    const inView = [];
    for (let index = first; index < last; index += 1) inView.push(at(index));
    rows.show(inView, first, current);
    const isDrawn = current && document.getElementById(`record-${current.id}`);
    if (isDrawn) view.setAttribute("aria-activedescendant", isDrawn.id);
    else view.removeAttribute("aria-activedescendant");
  }

  function choose(record, open) {
    current = record;
    const top = indexOf(record) * ROW_PX;
    const room = view.clientHeight - head() - ROW_PX;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top > view.scrollTop + room) view.scrollTop = top - room;
    draw(true);
    if (open) onOpen(record);
  }

  function onKey(event) {
    if (records.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(view.clientHeight / ROW_PX) - 2);
    const from = current && records.includes(current) ? indexOf(current) : -1;
    const moves = new Map([
      ["ArrowDown", from + 1],
      ["ArrowUp", from - 1],
      ["PageDown", from + page],
      ["PageUp", from - page],
      ["Home", 0],
      ["End", records.length - 1],
    ]);
    if (moves.has(event.key)) {
      event.preventDefault();
      const to = Math.min(records.length - 1, Math.max(0, moves.get(event.key)));
      choose(at(to), false);
    } else if (event.key === "Enter" && from >= 0) {
      event.preventDefault();
      onOpen(current);
    }
  }

  let waiting = false;
  view.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  });
  view.addEventListener("keydown", onKey);
  new ResizeObserver(() => draw(true)).observe(view);

  return {
    element: view,
    /** Show these records; `added` of them are new since the last time. */
    update(shown, added = 0) {
      records = shown;
      if (current && !records.includes(current)) current = null;
      body.style.height = `${records.length * ROW_PX}px`;
      if (added > 0 && view.scrollTop > 0) view.scrollTop += added * ROW_PX;
      draw(true);
    },
    focus: () => view.focus(),
    /** The record beside the chosen one, for the drawer's arrows. */
    step(by) {
      if (!current) return null;
      const to = indexOf(current) + by;
      if (to < 0 || to >= records.length) return null;
      choose(at(to), false);
      return current;
    },
  };
}
