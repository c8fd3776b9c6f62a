/** One proposal: what it is, what can be done with it, and its panels. */
import { fill, h, nextTask, said, setText, show } from "../dom.js";
import { listOf, words } from "../format.js";
import { icon, spinner } from "../icons.js";
import { addressOf } from "../address.js";
import { isActive, latestRun } from "../../client/index.js";
import { Comments } from "../review/comments.js";
import { createCollisions } from "../review/collisions.js";
import { createDecide } from "../review/decide.js";
import { createKeys, goProposal, goStation } from "../review/keys.js";
import { isMember } from "../review/rights.js";
import { Runs } from "../review/runs.js";
import { Seen } from "../review/seen.js";
import { createChanges } from "../review/changes.js";
import { createText } from "../review/text.js";
import { openThreads } from "../review/threads.js";
import { createDiscussion } from "./discussion.js";
import { createIteration } from "./iteration.js";
import { createValidation } from "./validation.js";
import { describeSending } from "../words.js";

const VIEWS = [
  ["text", "Text", createText],
  ["changes", "Changes", createChanges],
  ["discussion", "Discussion", createDiscussion],
  ["checks", "Checks", createValidation],
  ["revise", "Revise", createIteration],
];

const CREATE = Object.fromEntries(VIEWS.map(([name, , create]) => [name, create]));
const BUSY_LABELS = { starting: "Starting…", cancelling: "Cancelling…" };

/** The server decides; this only spares people a button that would be refused. */
function mayCancel(run, proposal, me) {
  const unknown = run.started_by === null;
  return unknown || me.admin || run.started_by === me.id || proposal.author === me.id;
}

export function createDetail({ store, actions, drafts, names, unread }) {
  const seen = new Seen({ user: actions.me().id, project: store.project });
  const comments = new Comments(store);
  const context = { store, actions, drafts, names, seen, comments, runs: new Runs(store) };
  const title = h("h1", { tabIndex: -1, dir: "auto" });
  const status = h("span.badge");
  const meta = h("p.meta");
  const back = h(
    "a.back",
    { href: addressOf({ project: store.project }) },
    icon("back"),
    "All proposals",
  );
  const sending = h("p.hint.warning", { id: "run-hint", hidden: true });
  const runIcon = h("span.button-icon");
  const runText = h("span");
  const run = h("button.primary.run-button", { type: "button", "aria-describedby": "run-hint" }, runIcon, runText);
  const runBox = h("div.detail-run", {}, run, sending);
  const threadsOpen = h("span.tab-count", { hidden: true });
  const tabs = VIEWS.map(([name, label]) => ({
    name,
    link: h("a.tab", {}, label, name === "discussion" && threadsOpen, h("span.item-news")),
  }));
  /** Made when they are first shown: all at once would hold up a phone. */
  const panels = new Map();
  const panel = h("div.panel");
  const decide = createDecide(context);
  const collisions = createCollisions(context);
  const keys = createKeys([
    ...VIEWS.map(([name, label], at) => [String(at + 1), label, () => go(name)]),
    ["j", "The next proposal", () => goProposal(1)],
    ["k", "The proposal before", () => goProposal(-1)],
    ["/", "Search the proposals", () => document.querySelector("[aria-label='Search proposals']")?.focus()],
    ["]", "The next heading, thread, change or finding", () => goStation(panel, 1)],
    ["[", "The one before", () => goStation(panel, -1)],
    ["n", "The next file of the text", () => inText((text) => text.step(1))],
    ["p", "The file before", () => inText((text) => text.step(-1))],
    ["s", "The text as source, or rendered", () => inText((text) => text.toggleSource())],
    ["e", "Edit the file that is shown", () => inText((text) => text.edit())],
    ["m", "Comment on what is selected, on this heading, or on the proposal", comment],
    ["r", "Review: approve, request changes or comment", () => decide.open()],
    ["v", "Validate", () => run.click()],
  ]);
  const element = h(
    "article.detail",
    {},
    back,
    h("div.detail-head", {}, h("div.detail-title", {}, title, meta), runBox),
    decide.element,
    collisions.element,
    h(
      "nav.tabs",
      { "aria-label": "About this proposal" },
      tabs.map(({ link }) => link),
      keys.button,
    ),
    panel,
  );
  let current = { id: null, run: null };
  let drawn = null;
  let namesDrawn = -1;
  let shownView = null;
  let isBegun = false;

  run.addEventListener("click", () => {
    const { id, run: active } = current;
    if (run.getAttribute("aria-disabled") === "true") return;
    if (active) {
      void actions.cancel(active);
      return;
    }
    void actions.startValidation(id);
    if (shownView !== "checks") location.hash = addressOf(placeOf(id, "checks"));
  });

  function go(view) {
    if (current.id) location.hash = addressOf(placeOf(current.id, view));
  }

  function inText(act) {
    if (shownView === "text") act(panelOf("text"));
  }

  function comment() {
    if (shownView === "text" && panelOf("text").comment()) return;
    go("discussion");
    // The view is drawn when the address has changed.
    setTimeout(() => panelOf("discussion").field.focus());
  }

  function panelOf(view) {
    if (!panels.has(view)) panels.set(view, CREATE[view](context));
    return panels.get(view);
  }

  function placeOf(proposal, view) {
    return { project: store.project, proposal, view };
  }

  function drawButton(active, proposal, busy) {
    const mine = !active || mayCancel(active, proposal, actions.me());
    const stop = active?.kind === "iteration" ? "Stop" : "Cancel";
    const label = BUSY_LABELS[busy] ?? (active ? (mine ? stop : "Running") : "Validate");
    const cancels = busy === "cancelling" || (Boolean(active) && mine);
    if (runText.textContent !== label) {
      setText(runText, label);
      fill(runIcon, busy || !mine ? spinner() : icon(active ? "stop" : "play"));
    }
    run.classList.toggle("primary", !active && !cancels && shownView === "checks");
    run.classList.toggle("danger", cancels);
    run.title = mine ? "" : "Whoever started it and the proposal's author may cancel it";
    const words = describeSending(store.connection);
    show(sending, words !== "");
    setText(sending, words);
    // Not `disabled`, which would throw the keyboard's focus away.
    run.setAttribute("aria-disabled", String(Boolean(busy) || !mine));
  }

  return {
    element,
    destroy: keys.destroy,
    /** @returns {HTMLElement} where the focus belongs when the proposal is opened */
    heading: title,
    /** @param {ReturnType<import("../address.js").route>} place */
    update(proposalId, place, busy) {
      const proposal = store.state.proposals[proposalId];
      if (!proposal) return;
      const view = Object.hasOwn(CREATE, place.view ?? "") ? place.view : VIEWS[0][0];
      if (current.id !== proposalId) seen.left();
      if (proposal !== drawn || names.version !== namesDrawn) {
        drawn = proposal;
        namesDrawn = names.version;
        setText(title, proposal.title || proposal.id);
        drawMeta(meta, status, proposal, names);
      }
      const kind = view === "revise" ? "iteration" : "validation";
      const latest = latestRun(store.state, proposalId, kind);
      const active = isActive(latest) ? latest : null;
      current = { id: proposalId, run: active };
      if (shownView !== view) {
        shownView = view;
        const { link } = tabs.find(({ name }) => name === view);
        link.parentElement.scrollLeft = link.offsetLeft - link.parentElement.offsetLeft - 40;
        fill(panel, panelOf(view).element);
      }
      store.texts.revisions(proposal); // Whatever is shown first: then its text is known before it changes.
      comments.update(proposal, isMember(actions.me(), proposal));
      drawThreads(threadsOpen, openThreads(proposal.comments).length);
      decide.update(proposalId);
      collisions.update(proposal);
      show(runBox, view !== "revise" || active !== null);
      drawButton(active, proposal, busy);
      for (const { name, link } of tabs) {
        const address = addressOf(placeOf(proposalId, name));
        if (link.getAttribute("href") !== address) link.href = address;
        if (name === view) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
        const news = unread.count(proposalId, name);
        show(link.lastChild, news > 0);
        setText(link.lastChild, `${news} new`);
      }
      if (isBegun) panelOf(view).update(proposalId, place);
      else {
        // At first everything is drawn at once: what is on top of it need not wait for the rest.
        isBegun = true;
        void nextTask().then(() => store.changed());
      }
    },
  };
}

function drawThreads(element, many) {
  show(element, many > 0);
  if (element.dataset.many === String(many)) return;
  element.dataset.many = String(many);
  fill(element, String(many), h("span.visually-hidden", {}, ` open ${many === 1 ? "thread" : "threads"}`));
}

function drawMeta(meta, status, proposal, names) {
  setText(status, words(proposal.status));
  const reviewers = proposal.reviewers ?? [];
  fill(
    meta,
    proposal.status && status,
    h("code", {}, proposal.id),
    proposal.author && h("span", {}, "by ", said(names.of(proposal.author))),
    reviewers.length > 0 &&
      h("span", {}, "reviewed by ", said(listOf(reviewers.map((id) => names.of(id))))),
  );
}
