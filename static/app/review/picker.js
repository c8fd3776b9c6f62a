/** Which revision is shown, how it came about, and the choice of another one. */
import { fill, h, setText, show } from "../dom.js";
import { timeOf } from "../format.js";
import { icon } from "../icons.js";
import { causeOf, nameOf } from "./revision-words.js";

const MORE = "more";

/**
 * @param {object} options
 * @param {import("../names.js").Names} options.names
 * @param {(number: number | null) => void} options.onChoose null: the newest
 * @param {() => Promise<void>} options.onMore load older ones
 * @param {(number: number) => Promise<void>} options.onRestore
 */
export function createPicker({ names, onChoose, onMore, onRestore }) {
  const select = h("select.revision-select", { id: "revision-select" });
  const facts = h("p.revision-facts");
  const printed = h("strong.print-only");
  const since = h("a.revision-since", { hidden: true }, "What it changed");
  const restore = h("button.small", { type: "button", hidden: true }, icon("retry"), "Put this text back");
  const element = h(
    "div.revision-bar",
    {},
    h("label.visually-hidden", { htmlFor: "revision-select" }, "Revision"),
    select,
    printed,
    facts,
    since,
    restore,
  );
  let shown = null;
  let drawn = "";

  select.addEventListener("change", () => {
    if (select.value === MORE) void onMore();
    else onChoose(select.value === "" ? null : Number(select.value));
  });
  restore.addEventListener("click", async () => {
    if (restore.getAttribute("aria-disabled") === "true") return;
    restore.setAttribute("aria-disabled", "true");
    await onRestore(shown.number);
    restore.setAttribute("aria-disabled", "false");
  });

  return {
    element,
    /** @returns {HTMLSelectElement} for those who come by the keyboard */
    select,
    /**
     * @param {object} revision the one shown
     * @param {{list: object[], more: boolean}} known
     * @param {{mayRestore: boolean, sinceAddress: string | null}} can
     */
    update(revision, known, can) {
      const newest = known.list[0].number;
      const key = JSON.stringify([revision.number, newest, known.list.length, known.more, can, names.version]);
      if (key === drawn) return;
      drawn = key;
      shown = revision;
      const listed = known.list.some(({ number }) => number === revision.number);
      const options = listed ? known.list : [...known.list, revision];
      fill(
        select,
        options.map((each) =>
          h("option", { value: each.number === newest ? "" : each.number }, nameOf(each, newest, names)),
        ),
        known.more && h("option", { value: MORE }, "Older ones…"),
      );
      select.value = revision.number === newest ? "" : String(revision.number);
      setText(printed, `Revision ${revision.number}`);
      setText(facts, `${capital(causeOf(revision, names))}, ${timeOf(revision.at)}`);
      show(since, can.sinceAddress !== null);
      if (can.sinceAddress) since.href = can.sinceAddress;
      show(restore, can.mayRestore && revision.number !== newest);
    },
  };
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
