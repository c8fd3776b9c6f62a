/** What changed in files: the server's unified diffs, line by line. */
import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";

/** Longer diffs, or more of them, are opened on demand. */
const OPEN_LINES = 300;
const OPEN_FILES = 8;

const KINDS = { "+": "added", "-": "removed", "@": "hunk", "\\": "hunk" };

/**
 * @param {string} diff of one file
 * @returns {{lines: {kind: string, text: string}[], added: number, removed: number}} without the
 *   two lines that name the file
 */
export function linesOf(diff) {
  const texts = diff.replace(/\n$/, "").split("\n").slice(2);
  const lines = texts.map((text) => ({ kind: KINDS[text[0]] ?? "same", text }));
  const many = (kind) => lines.filter((line) => line.kind === kind).length;
  return { lines, added: many("added"), removed: many("removed") };
}

export function createDiffs() {
  const element = h("div.diffs");
  return {
    element,
    /**
     * @param {string[]} paths of all files that were written
     * @param {{path: string, diff: string, truncated?: boolean}[]} diffs
     */
    update(paths, diffs) {
      const known = new Map(diffs.map((each) => [each.path, each]));
      const few = paths.length <= OPEN_FILES;
      fill(
        element,
        paths.map((path) => fileElement(String(path), known.get(path), few)),
      );
    },
  };
}

function fileElement(path, entry, few) {
  if (!entry?.diff) {
    const why = entry ? "The change is too large to be shown" : "The change is not shown";
    return h("p.diff-file", {}, icon("file"), h("code", {}, path), h("span.muted", {}, why));
  }
  const { lines, added, removed } = linesOf(entry.diff);
  return h(
    "details.diff",
    { open: few && lines.length <= OPEN_LINES },
    h(
      "summary.diff-file",
      {},
      icon("file"),
      h("code", {}, path),
      h(
        "span.diff-counts",
        { "aria-hidden": "true" },
        added > 0 && h("span.diff-added", {}, `+${added}`),
        removed > 0 && h("span.diff-removed", {}, `−${removed}`),
      ),
      h(
        "span.visually-hidden",
        {},
        `${count(added, "line")} added, ${count(removed, "line")} removed`,
      ),
    ),
    h(
      "pre.diff-lines",
      { tabIndex: 0, role: "region", "aria-label": `Changes of ${path}` },
      lines.map(({ kind, text }) => h(`span.diff-line.${kind}`, {}, `${text}\n`)),
    ),
  );
}
