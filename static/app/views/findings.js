/** What the validator found: level, place and message of each. */
import { fill, h, show } from "../dom.js";
import { icon } from "../icons.js";
import { findingsOf, tally } from "../words.js";

const LEVEL_ICONS = { error: "cross", warning: "warning", info: "info" };
const LEVEL_NAMES = { error: "Error", warning: "Warning", info: "Note" };
/** More than this are drawn on demand: the output below has them all anyway. */
const SHOWN = 50;

export function createFindings() {
  const title = h("h3", { id: "findings-title" });
  const list = h("ul.findings");
  const more = h("button.quiet", { type: "button", hidden: true });
  const element = h(
    "section.findings-box",
    { hidden: true, "aria-labelledby": "findings-title" },
    title,
    list,
    more,
  );
  let drawn = null;
  let findings = [];

  more.addEventListener("click", () => {
    const firstNew = list.childElementCount;
    list.append(...findings.slice(SHOWN).map(row));
    show(more, false);
    list.children[firstNew]?.focus();
  });

  return {
    element,
    /** How many of each kind, in words; empty where there are none. */
    get tally() {
      return tally(findings);
    },
    goTo() {
      list.firstElementChild?.focus({ preventScroll: true });
      element.scrollIntoView({ block: "start" });
    },
    update(summary) {
      const report = summary?.report ?? null;
      if (report === drawn) return;
      drawn = report;
      findings = findingsOf(report);
      show(element, findings.length > 0);
      fill(title, "Findings ", h("span.muted", {}, tally(findings)));
      fill(list, findings.slice(0, SHOWN).map(row));
      show(more, findings.length > SHOWN);
      more.textContent = `Show ${findings.length - SHOWN} more`;
    },
  };
}

function row({ level, path, line, message }) {
  return h(
    `li.finding.level-${level}`,
    { tabIndex: -1 },
    h("span.level", {}, icon(LEVEL_ICONS[level]), LEVEL_NAMES[level]),
    h(
      "div.finding-body",
      {},
      path && h("code.path", {}, line === null ? path : `${path}:${line}`),
      h("p", {}, message),
    ),
  );
}
