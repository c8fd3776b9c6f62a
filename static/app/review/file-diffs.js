/** How the files of two revisions differ: one below the other, or side by side. */
import { h } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { pairsOf, rowsOf } from "./unified.js";
import { sideWords } from "./word-diff.js";

/** Longer ones are opened on demand. */
const OPEN_ROWS = 400;
const WORDS = { added: "new file", removed: "removed", modified: "" };

/**
 * @param {{path: string, change: string, diff: string, truncated?: boolean, binary?: boolean}[]} files
 * @param {{diff: Function | null, beside: boolean, addressOfLine: (path: string, line: number) => string}} how
 */
export function fileDiffs(files, how) {
  return files.map((file) => fileDiff(file, how));
}

function fileDiff(file, how) {
  const { path, change } = file;
  if (!file.diff) {
    const why = file.binary
      ? "It is no text"
      : file.truncated
        ? "The change is too large to be shown"
        : "Only its place or its last line's end differs";
    return h("p.diff-file", {}, icon("file"), h("code", {}, path), h("span.muted", {}, why));
  }
  const { rows, added, removed } = rowsOf(file.diff);
  const table = how.beside ? besideTable : unifiedTable;
  return h(
    "details.diff",
    { open: rows.length <= OPEN_ROWS },
    h(
      "summary.diff-file",
      {},
      icon("file"),
      h("code", {}, path),
      WORDS[change] && h("span.badge", {}, WORDS[change]),
      h(
        "span.diff-counts",
        { "aria-hidden": "true" },
        added > 0 && h("span.diff-added", {}, `+${added}`),
        removed > 0 && h("span.diff-removed", {}, `−${removed}`),
      ),
      h("span.visually-hidden", {}, `${count(added, "line")} added, ${count(removed, "line")} removed`),
    ),
    h(
      "div.diff-table",
      { tabIndex: 0, role: "region", "aria-label": `Changes of ${path}` },
      h("table", {}, columnsOf(how.beside), h("tbody", {}, table(rows, how, path))),
    ),
  );
}

function columnsOf(beside) {
  const numbers = () => h("col.diff-number-column");
  const text = () => h("col");
  const columns = beside
    ? [numbers(), text(), numbers(), text()]
    : [numbers(), numbers(), text()];
  return h("colgroup", {}, columns);
}

/** Each line with the one that stands in its place on the other side. */
function partners(rows) {
  const other = new Map();
  for (const { left, right } of pairsOf(rows)) {
    if (left?.kind !== "removed" || !right) continue;
    other.set(left, right);
    other.set(right, left);
  }
  return other;
}

function wordsOf(row, partner, diff) {
  if (!partner || !diff) return [row.text];
  return row.kind === "added"
    ? sideWords(diff, partner.text, row.text, "added")
    : sideWords(diff, row.text, partner.text, "removed");
}

const SIGNS = { added: "+", removed: "−", same: "" };
const SPOKEN = { added: "Added: ", removed: "Removed: " };

function cell(row, other, how) {
  return h(
    "td.diff-text",
    { class: row.kind },
    h("span.diff-sign", { "aria-hidden": "true" }, SIGNS[row.kind]),
    SPOKEN[row.kind] && h("span.visually-hidden", {}, SPOKEN[row.kind]),
    wordsOf(row, other.get(row), how.diff),
  );
}

function numberCell(n, how = null, path = "") {
  if (n === null || !how) return h("td.diff-number", {}, n === null ? "" : String(n));
  return h("td.diff-number", {}, h("a", { href: how.addressOfLine(path, n), tabIndex: -1 }, String(n)));
}

function unifiedTable(rows, how, path) {
  const other = partners(rows);
  return rows.map((row) =>
    row.kind === "hunk"
      ? hunkRow(row, 3)
      : h("tr", {}, numberCell(row.old), numberCell(row.now, how, path), cell(row, other, how)),
  );
}

function besideTable(rows, how, path) {
  const other = partners(rows);
  const empty = () => h("td.diff-text.absent");
  return pairsOf(rows).map(({ left, right }) =>
    left?.kind === "hunk"
      ? hunkRow(left, 4)
      : h(
          "tr.beside",
          {},
          numberCell(left?.old ?? null),
          left ? cell(left, other, how) : empty(),
          numberCell(right?.now ?? null, how, path),
          right ? cell(right, other, how) : empty(),
        ),
  );
}

function hunkRow({ text }, columns) {
  return h("tr", {}, h("td.diff-hunk", { colSpan: columns }, text));
}
