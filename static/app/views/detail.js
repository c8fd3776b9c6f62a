/** One proposal: what it is, what can be done with it, and its three panels. */
import { fill, h, setText, show } from "../dom.js";
import { listOf, words } from "../format.js";
import { icon, spinner } from "../icons.js";
import { addressOf } from "../address.js";
import { isActive, latestRun } from "../../client/index.js";
import { createDiscussion } from "./discussion.js";
import { createIteration } from "./iteration.js";
import { createValidation } from "./validation.js";

const TABS = [
  ["validation", "Validation", createValidation],
  ["revision", "Revision", createIteration],
  ["discussion", "Discussion", createDiscussion],
];

const BUSY_LABELS = { starting: "Starting…", cancelling: "Cancelling…" };

/** The server decides; this only spares people a button that would be refused. */
function mayCancel(run, proposal, me) {
  const unknown = run.started_by === null;
  return unknown || me.admin || run.started_by === me.id || proposal.author === me.id;
}

export function createDetail(context) {
  const { store, actions } = context;
  const title = h("h1", { tabIndex: -1 });
  const status = h("span.badge");
  const meta = h("p.meta");
  const back = h(
    "a.back",
    { href: addressOf({ project: store.project }) },
    icon("back"),
    "All proposals",
  );
  const runIcon = h("span.button-icon");
  const runText = h("span");
  const run = h("button.primary.run-button", { type: "button" }, runIcon, runText);
  const tabs = TABS.map(([name, label]) => ({ name, link: h("a.tab", {}, label) }));
  const panels = new Map(TABS.map(([name, , create]) => [name, create(context)]));
  const panel = h("div.panel");
  const element = h(
    "article.detail",
    {},
    back,
    h("div.detail-head", {}, h("div.detail-title", {}, title, meta), run),
    h(
      "nav.tabs",
      { "aria-label": "About this proposal" },
      tabs.map(({ link }) => link),
    ),
    panel,
  );
  let current = { id: null, run: null };
  let drawn = null;
  let shownTab = null;

  run.addEventListener("click", () => {
    const { id, run: active } = current;
    if (run.getAttribute("aria-disabled") === "true") return;
    if (active) void actions.cancel(active);
    else void actions.startValidation(id);
  });

  function drawButton(active, proposal, busy) {
    const mine = !active || mayCancel(active, proposal, actions.me());
    const stop = active?.kind === "iteration" ? "Stop" : "Cancel";
    const label = BUSY_LABELS[busy] ?? (active ? (mine ? stop : "Running") : "Validate");
    if (runText.textContent === label) return;
    setText(runText, label);
    const cancels = busy === "cancelling" || (Boolean(active) && mine);
    fill(runIcon, busy || !mine ? spinner() : icon(active ? "stop" : "play"));
    run.classList.toggle("primary", !active && !cancels);
    run.classList.toggle("danger", cancels);
    run.title = mine ? "" : "Whoever started it and the proposal's author may cancel it";
    // Not `disabled`, which would throw the keyboard's focus away.
    run.setAttribute("aria-disabled", String(Boolean(busy) || !mine));
  }

  return {
    element,
    /** @returns {HTMLElement} where the focus belongs when the proposal is opened */
    heading: title,
    update(proposalId, tabName, busy) {
      const proposal = store.state.proposals[proposalId];
      if (!proposal) return;
      const tab = panels.has(tabName) ? tabName : "validation";
      if (proposal !== drawn) {
        drawn = proposal;
        setText(title, proposal.title || proposal.id);
        drawMeta(meta, status, proposal);
      }
      const kind = tab === "revision" ? "iteration" : "validation";
      const latest = latestRun(store.state, proposalId, kind);
      const active = isActive(latest) ? latest : null;
      current = { id: proposalId, run: active };
      show(run, tab === "validation" || (tab === "revision" && active !== null));
      drawButton(active, proposal, busy);
      for (const { name, link } of tabs) {
        const address = addressOf({ project: store.project, proposal: proposalId, tab: name });
        if (link.getAttribute("href") !== address) link.href = address;
        if (name === tab) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      if (shownTab !== tab) {
        shownTab = tab;
        fill(panel, panels.get(tab).element);
      }
      panels.get(tab).update(proposalId);
    },
  };
}

function drawMeta(meta, status, proposal) {
  setText(status, words(proposal.status));
  const reviewers = proposal.reviewers ?? [];
  fill(
    meta,
    proposal.status && status,
    h("code", {}, proposal.id),
    proposal.author && h("span", {}, `by ${proposal.author}`),
    reviewers.length > 0 && h("span", {}, `reviewed by ${listOf(reviewers)}`),
  );
}
