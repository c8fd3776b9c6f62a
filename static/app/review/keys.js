/**
 * The page by keyboard alone: single keys where nothing is being typed, and what they do under `?`.
 *
 * They can be turned off, for those whose speech or whose fingers press keys unmeant (WCAG 2.1.4).
 */
import { h } from "../dom.js";

const OFF_KEY = "rtserver.keys";

/** Whether a key that was pressed is text, or belongs to what has the focus. */
function isTyping(event) {
  const { target } = event;
  return (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    target.isContentEditable ||
    /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName ?? "")
  );
}

/**
 * @param {[string, string, () => void][]} keys each with what it does, in words
 * @param {{addEventListener: Function, removeEventListener: Function}} [on]
 */
export function createKeys(keys, on = document) {
  const byKey = new Map(keys.map(([key, , act]) => [key, act]));
  const button = h(
    "button.quiet.small.keys-button",
    { type: "button", title: "Keyboard shortcuts (?)", onclick: help },
    "Keys",
  );

  function isOff() {
    return localStorage.getItem(OFF_KEY) === "off";
  }

  function press(event) {
    if (isTyping(event) || document.querySelector("dialog[open]") || isOff()) return;
    const act = event.key === "?" ? help : byKey.get(event.key);
    if (!act) return;
    event.preventDefault();
    act();
  }

  function help() {
    const use = h("input", { type: "checkbox", id: "keys-on", checked: !isOff() });
    use.addEventListener("change", () => localStorage.setItem(OFF_KEY, use.checked ? "on" : "off"));
    const close = h("button.primary", { type: "button" }, "Close");
    const dialog = h(
      "dialog.keys",
      { "aria-labelledby": "keys-title" },
      h("h2", { id: "keys-title" }, "Keyboard shortcuts"),
      h(
        "dl.keys-list",
        {},
        [...keys, ["?", "These keys"], ["Tab", "To the next link, button or field"], ["Esc", "Close what is open"]].map(
          ([key, words]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)),
        ),
      ),
      h("div.keys-foot", {}, h("label", { htmlFor: "keys-on" }, use, " Use single keys"), close),
    );
    const before = document.activeElement;
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.({ preventScroll: true });
    });
    document.body.append(dialog);
    dialog.showModal();
    close.focus();
  }

  on.addEventListener("keydown", press);
  return { button, destroy: () => on.removeEventListener("keydown", press) };
}

/** The stations of a view, from one to the next of which `]` and `[` go. */
const STATIONS = ".md-heading, .thread, .requirement, .diff > summary, .finding, .run-row";

/** Move the focus to the next station in an element, or the one before. */
export function goStation(element, step) {
  const all = [...element.querySelectorAll(STATIONS)].filter((each) => each.checkVisibility());
  if (all.length === 0) return;
  const focused = document.activeElement;
  const at = all.findLastIndex(
    (each) => each === focused || each.contains(focused) || follows(each, focused, element),
  );
  const isOn = at >= 0 && (all[at] === focused || all[at].contains(focused));
  const next = all[step > 0 ? at + 1 : isOn ? at - 1 : at];
  if (!next) return;
  if (!next.matches("a, summary")) next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "center" });
}

/** Whether what has the focus comes after a station; where it is elsewhere, nothing does. */
function follows(station, focused, element) {
  if (!element.contains(focused)) return false;
  return Boolean(station.compareDocumentPosition(focused) & Node.DOCUMENT_POSITION_FOLLOWING);
}

/** Open the proposal after the one that is open in the list, or the one before. */
export function goProposal(step) {
  const links = [...document.querySelectorAll(".proposal-list a.item")].filter((each) =>
    each.checkVisibility(),
  );
  const at = links.findIndex((link) => link.getAttribute("aria-current") === "page");
  links[at < 0 ? 0 : at + step]?.click();
}
