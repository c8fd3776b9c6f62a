/** Unified diffs, taken apart. Pure. */

/**
 * @typedef {object} Row
 * @property {"same" | "added" | "removed" | "hunk"} kind
 * @property {string} text without the sign
 * @property {number | null} old the line's number before
 * @property {number | null} now the line's number after
 */

/**
 * @param {string} diff of one file, with or without the two lines that name it
 * @returns {{rows: Row[], added: number, removed: number}}
 */
export function rowsOf(diff) {
  const rows = [];
  let old = 0;
  let now = 0;
  let inside = false;
  for (const line of diff.replace(/\n$/, "").split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    if (hunk) {
      inside = true;
      old = Number(hunk[1]);
      now = Number(hunk[2]);
      rows.push({ kind: "hunk", text: line, old: null, now: null });
    } else if (!inside || line.startsWith("\\")) {
      continue; // The file's names; or that its last line has no end.
    } else if (line[0] === "+") {
      rows.push({ kind: "added", text: line.slice(1), old: null, now: now++ });
    } else if (line[0] === "-") {
      rows.push({ kind: "removed", text: line.slice(1), old: old++, now: null });
    } else {
      rows.push({ kind: "same", text: line.slice(1), old: old++, now: now++ });
    }
  }
  const many = (kind) => rows.filter((row) => row.kind === kind).length;
  return { rows, added: many("added"), removed: many("removed") };
}

/**
 * Rows side by side: what was removed beside what was added in its place.
 *
 * @param {Row[]} rows
 * @returns {{left: Row | null, right: Row | null}[]} a hunk's line is on both sides
 */
export function pairsOf(rows) {
  const pairs = [];
  for (let at = 0; at < rows.length; ) {
    const { kind } = rows[at];
    if (kind === "same" || kind === "hunk") {
      pairs.push({ left: rows[at], right: rows[at] });
      at += 1;
      continue;
    }
    const removed = [];
    const added = [];
    while (rows[at]?.kind === "removed") removed.push(rows[at++]);
    while (rows[at]?.kind === "added") added.push(rows[at++]);
    for (let n = 0; n < Math.max(removed.length, added.length); n += 1) {
      pairs.push({ left: removed[n] ?? null, right: added[n] ?? null });
    }
  }
  return pairs;
}
