/** What differs between two texts word by word, by jsdiff, loaded when it is first asked for. */
import { h } from "../dom.js";

const WORDS = "/static/vendor/diff/diff/word.js";
/** Beyond this the two have little in common, and are shown one after the other. */
const LIMITS = { maxEditLength: 2_000, timeout: 200 };

let loading = null;

/** @returns {Promise<(before: string, after: string) => object[] | undefined>} */
export function loadWordDiff() {
  loading ??= import(WORDS).then(
    ({ diffWordsWithSpace }) =>
      (before, after) =>
        diffWordsWithSpace(before, after, LIMITS),
  );
  loading.catch(() => {
    loading = null; // The next one tries again.
  });
  return loading;
}

/**
 * Both texts in one, with what was taken out and what was put in marked.
 *
 * @param {((before: string, after: string) => object[] | undefined) | null} diff null: not there
 * @returns {(Node | string)[]}
 */
export function mergedWords(diff, before, after) {
  const parts = diff?.(before, after) ?? [
    { value: `${before}\n`, removed: true },
    { value: after, added: true },
  ];
  return parts.map(({ value, added, removed }) => {
    if (added) return h("ins", {}, value);
    return removed ? h("del", {}, value) : value;
  });
}

/**
 * One side of a pair of lines, with the words marked by which it differs from the other.
 *
 * @param {"added" | "removed"} side
 */
export function sideWords(diff, before, after, side) {
  const own = side === "added" ? after : before;
  const parts = diff?.(before, after);
  const same = parts?.filter(({ added, removed }) => !added && !removed);
  // Where nearly all differs, marks say nothing.
  if (!parts || same.reduce((sum, { value }) => sum + value.trim().length, 0) * 4 < own.length) {
    return [own];
  }
  return parts
    .filter((part) => (side === "added" ? !part.removed : !part.added))
    .map((part) => (part.added || part.removed ? h("mark", {}, part.value) : part.value));
}
