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
  let drawn = { report: null, key: "" };
  let findings = [];
  let address = () => null;

  more.addEventListener("click", () => {
    const firstNew = list.childElementCount;
    list.append(...findings.slice(SHOWN).map((each) => row(each, address(each))));
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
    /**
     * @param {{report?: object} | null} summary
     * @param {((finding: object) => string | null) | null} [addressOfFinding] its place in the text
     * @param {string} [key] what these addresses hang on
     */
    update(summary, addressOfFinding = null, key = "") {
      const report = summary?.report ?? null;
      if (report === drawn.report && key === drawn.key) return;
      drawn = { report, key };
      address = addressOfFinding ?? (() => null);
      findings = findingsOf(report);
      show(element, findings.length > 0);
      fill(title, "Findings ", h("span.muted", {}, tally(findings)));
      fill(list, findings.slice(0, SHOWN).map((each) => row(each, address(each))));
      show(more, findings.length > SHOWN);
      more.textContent = `Show ${findings.length - SHOWN} more`;
    },
  };
}

function row({ level, path, line, message }, address) {
  const place = path && h("code.path", {}, line === null ? path : `${path}:${line}`);
  return h(
    `li.finding.level-${level}`,
    { tabIndex: -1 },
    h("span.level", {}, icon(LEVEL_ICONS[level]), LEVEL_NAMES[level]),
    h(
      "div.finding-body",
      {},
      place && address ? h("a", { href: address, title: "Read it in the text" }, place) : place,
      h("p", {}, message),
    ),
  );
}
