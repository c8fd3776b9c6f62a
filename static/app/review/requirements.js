/** What a revision does to the specs: requirement by requirement, by capability. */
import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { say } from "./say.js";
import { mergedWords } from "./word-diff.js";

/** So many are drawn at a time. */
const SHOWN = 40;
const OPERATIONS = { added: "Added", modified: "Modified", removed: "Removed", renamed: "Renamed" };

/** @returns {[string, object[]][]} the changes of each capability, in the order in which they came */
export function byCapability(requirements) {
  const groups = new Map();
  for (const change of requirements) {
    groups.set(change.capability, [...(groups.get(change.capability) ?? []), change]);
  }
  return [...groups];
}

/** How many of each kind, in words. */
export function tallyOf(changes) {
  return Object.entries(OPERATIONS)
    .map(([kind, name]) => [changes.filter(({ operation }) => operation === kind).length, name])
    .filter(([many]) => many > 0)
    .map(([many, name]) => `${many} ${name.toLowerCase()}`)
    .join(", ");
}

/**
 * @param {object} value the answer of `changes?against=specs`
 * @param {Function | null} diff of words
 * @param {(capability: string) => string} addressOfSpec
 */
export function requirementsOf(value, diff, addressOfSpec) {
  const groups = byCapability(value.requirements);
  if (groups.length === 0) {
    return [h("p.muted", {}, "This revision changes no requirement of the specs."), noteOf(value)];
  }
  const { completed, total } = value.tasks;
  return [
    h(
      "p.changes-summary",
      {},
      h("strong", {}, tallyOf(value.requirements)),
      ` in ${count(groups.length, "capability", "capabilities")}`,
      total > 0 && `; ${completed} of ${count(total, "task")} done`,
      ".",
    ),
    noteOf(value),
    groups.map(([capability, changes]) =>
      h(
        "section.capability",
        { "aria-label": capability },
        h(
          "h2.capability-title",
          {},
          h("a", { href: addressOfSpec(capability) }, capability),
          h("span.muted", {}, ` ${tallyOf(changes)}`),
        ),
        inPortions(changes, (change) => card(change, diff)),
      ),
    ),
  ];
}

function noteOf({ note }) {
  return note && h("p.hint", {}, `OpenSpec's own comparison is not shown: ${note}`);
}

function inPortions(changes, make) {
  const list = h("div.requirements", {}, changes.slice(0, SHOWN).map(make));
  let shown = SHOWN;
  const more = h("button.small", { type: "button" });
  const label = () => {
    more.hidden = shown >= changes.length;
    more.textContent = `Show ${Math.min(SHOWN, changes.length - shown)} more of ${changes.length}`;
  };
  more.addEventListener("click", () => {
    const first = list.childElementCount;
    list.append(...changes.slice(shown, shown + SHOWN).map(make));
    shown += SHOWN;
    label();
    list.children[first].focus();
  });
  label();
  return [list, more];
}

function card(change, diff) {
  const { operation, name, renamed_from: from, before, after } = change;
  const title = h(
    "h3.requirement-title",
    {},
    h(`span.badge.op-${operation}`, {}, OPERATIONS[operation] ?? operation),
    " ",
    from && [h("del", {}, from), " "],
    name,
  );
  const box = h(`article.requirement.is-${operation}`, { tabIndex: -1 }, title);
  if (operation === "modified" && before !== null && after !== null) {
    const words = h("div.word-diff");
    fill(words, mergedWords(diff, plainOf(before), plainOf(after)));
    box.append(words);
  } else if (operation === "modified") {
    box.append(h("p.field-error", {}, "Today's specs have no requirement of this name."), prose(after));
  } else if (operation === "added") {
    box.append(prose(after));
  } else if (before !== null) {
    box.append(
      h(
        "details",
        {},
        h("summary", {}, operation === "removed" ? "What it said" : "What it says"),
        prose(before),
      ),
    );
  }
  return box;
}

function prose(text) {
  const element = h("div.requirement-text");
  say(element, withoutTitle(text ?? ""));
  return element;
}

/** Without the marks of Markdown, which would hide what differs; the source has them. */
function plainOf(text) {
  return withoutTitle(text)
    .replace(/^#{1,6}\s+/gm, "")
    .replace(/\*\*(\S[^*\n]*?)\*\*/g, "$1")
    .replace(/^(\s*)[-*]\s+/gm, "$1• ");
}

/** The heading stands above it already. */
function withoutTitle(text) {
  return text.replace(/^#{1,6}[^\n]*\n+/, "");
}
