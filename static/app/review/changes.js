/** What a proposal changes: against the specs of today, or against another of its revisions. */
import { addressOf } from "../address.js";
import { fill, h, show } from "../dom.js";
import { fileDiffs } from "./file-diffs.js";
import { requirementsOf } from "./requirements.js";
import { nameOf } from "./revision-words.js";
import { failed, loading, nothing } from "./states.js";
import { loadWordDiff } from "./word-diff.js";

const BESIDE_KEY = "rtserver.beside";
const SPECS = "specs";

export function createChanges({ store, seen, names }) {
  const { texts } = store;
  const specs = h("a.choice", {}, "The specs");
  const looked = h("a.choice", { hidden: true });
  const other = h("select", { id: "against" });
  const which = h("p.changes-which");
  const beside = h("button.small.beside-button", { type: "button" }, "Side by side");
  const body = h("div.changes-body");
  const element = h(
    "section.changes",
    { "aria-label": "Changes" },
    h(
      "div.changes-bar",
      {},
      h("span", { id: "against-label" }, "Compared with"),
      h("nav.choices", { "aria-labelledby": "against-label" }, specs, looked),
      h("label.visually-hidden", { htmlFor: "against" }, "Compared with revision"),
      other,
      beside,
    ),
    which,
    body,
  );
  let proposal = null;
  let place = null;
  let diff = null;
  let diffProblem = null;
  let isBeside = localStorage.getItem(BESIDE_KEY) === "true";
  let drawn = "";
  let drawnBar = "";

  other.addEventListener("change", () => {
    if (other.value) location.hash = addressOf(here({ against: other.value }));
  });
  beside.addEventListener("click", () => {
    isBeside = !isBeside;
    localStorage.setItem(BESIDE_KEY, String(isBeside));
    store.changed();
  });

  function here(change) {
    const { revision } = place;
    return { project: store.project, proposal: proposal.id, view: "changes", revision, ...change };
  }

  function retry() {
    texts.retry();
    store.changed();
  }

  function needDiff() {
    if (diff || diffProblem) return;
    diffProblem = "loading";
    loadWordDiff().then(
      (loaded) => {
        diff = loaded;
        store.changed();
      },
      () => {
        diffProblem = "missing"; // Lines are marked then, and no words.
        store.changed();
      },
    );
  }

  function drawInstead(key, make) {
    if (drawn === key) return;
    drawn = key;
    fill(body, make());
  }

  function drawBar(known, shown, against) {
    const newest = known.list[0].number;
    const before = seen.before(proposal.id, newest);
    const key = JSON.stringify([proposal.id, shown, against, newest, known.list.length, before, isBeside]);
    show(beside, against !== SPECS);
    if (key === drawnBar) return;
    drawnBar = key;
    specs.href = addressOf(here({ against: SPECS }));
    current(specs, against === SPECS);
    const useful = before < newest && shown === newest;
    show(looked, useful);
    looked.textContent = `When I last looked (revision ${before})`;
    looked.href = addressOf(here({ against: before }));
    current(looked, useful && against === before);
    const earlier = known.list.filter(({ number }) => number !== shown);
    show(other, earlier.length > 0);
    fill(
      other,
      h("option", { value: "" }, "Another revision…"),
      earlier.map((each) => h("option", { value: each.number }, nameOf(each, newest, names))),
    );
    other.value = against === SPECS ? "" : String(against);
    beside.setAttribute("aria-pressed", String(isBeside));
    fill(
      which,
      `Revision ${shown}${shown === newest ? " (newest)" : ""} compared with `,
      against === SPECS ? "the specs as they are today." : `revision ${against}.`,
    );
  }

  function drawChanges(shown, against) {
    const archived = Object.values(store.state.proposals).filter((each) => each.status === "archived");
    // What is archived is in the specs, so they are other ones then.
    const stamp = against === SPECS ? String(archived.length) : "";
    const entry = texts.changes(proposal.id, shown, against, stamp);
    const key = JSON.stringify([
      proposal.id, shown, against, stamp, entry.phase, entry.error?.message, diff !== null, isBeside,
    ]);
    if (entry.phase === "loading") drawInstead(key, () => loading("what changed"));
    else if (entry.phase === "failed") drawInstead(key, () => failed(entry.error, retry));
    else if (against === SPECS) {
      drawInstead(key, () => requirementsOf(entry.value, diff, addressOfSpec));
    } else if (entry.value.files.length === 0) {
      drawInstead(key, () => nothing(`Revisions ${shown} and ${against} hold the same`));
    } else {
      drawInstead(key, () => fileDiffs(entry.value.files, { diff, beside: isBeside, addressOfLine }));
    }
  }

  function addressOfSpec(capability) {
    return addressOf(here({ view: "text", file: `specs/${capability}/spec.md` }));
  }

  function addressOfLine(file, line) {
    return addressOf(here({ view: "text", file, line }));
  }

  return {
    element,
    update(proposalId, where) {
      proposal = store.state.proposals[proposalId];
      place = where;
      needDiff();
      const known = texts.revisions(proposal);
      const hasBar = known.list.length > 0;
      show(element.firstElementChild, hasBar);
      show(which, hasBar);
      if (!hasBar) {
        const key = `${known.phase} ${proposalId}`;
        if (known.phase === "failed") drawInstead(key, () => failed(known.error, retry));
        else if (known.phase === "loading") drawInstead(key, () => loading("what changed"));
        else drawInstead(key, () => nothing("No text yet", "There is nothing to compare."));
        return;
      }
      const shown = place.revision ?? known.list[0].number;
      const against = /^[1-9]\d*$/.test(place.against ?? "") ? Number(place.against) : SPECS;
      drawBar(known, shown, against);
      drawChanges(shown, against);
    },
  };
}

function current(link, yes) {
  if (yes) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}
