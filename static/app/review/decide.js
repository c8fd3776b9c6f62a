/** Where the decision on a proposal stands, and the buttons by which it is made. */
import { addressOf } from "../address.js";
import { closeFocused, fill, h, said, setText, show } from "../dom.js";
import { timeOf } from "../format.js";
import { icon } from "../icons.js";
import { createComposer } from "./composer.js";
import { confirm } from "./confirm.js";
import { refusalOf } from "./refusals.js";
import { movesOf, verdictsOf } from "./rights.js";
import { say } from "./say.js";
import { isApprovable, MOVE_LABELS, standingOf, summaryOf } from "./verdicts.js";

const ICONS = { approve: "check", request_changes: "cross", comment: "info" };

export function createDecide(context) {
  const { store, actions, names } = context;
  const nameOf = (id) => names.of(id);
  const mark = h("span.decide-mark");
  const summary = h("p.decide-summary", { role: "status" });
  const review = h("button.primary.review-button", { type: "button", "aria-expanded": "false" }, "Review");
  const moves = h("div.moves");
  const list = h("ul.verdicts");
  const refusal = h("div.run-problem.refusal", { role: "alert", hidden: true });
  const about = h("p.review-about");
  const composer = createComposer(context, {
    label: "What do you think of it?",
    hint: "You may leave this empty. Markdown and @names.",
    kind: "review",
    optional: true,
    buttons: [
      { label: "Approve", tone: "primary", value: "approve" },
      { label: "Request changes", tone: "danger", value: "request_changes" },
      { label: "Comment", value: "comment" },
    ],
    send: submit,
    onCancel: () => open(false),
  });
  const form = h("div.review-form", { hidden: true }, about, composer.element);
  const element = h(
    "section.decide",
    { "aria-label": "Decision" },
    h("div.decide-head", {}, mark, summary, h("div.decide-buttons", {}, moves, review)),
    refusal,
    form,
    list,
  );
  let proposal = null;
  /** The revision that the open form is about. */
  let bound = null;
  let drawn = {};
  let busy = false;

  review.addEventListener("click", () => open(form.hidden));

  function open(yes) {
    if (yes) bound = proposal.revision?.number ?? null;
    review.setAttribute("aria-expanded", String(yes));
    drawn.about = "";
    if (yes) {
      show(form, true);
      drawForm();
      composer.field.focus();
    } else {
      refuse(null);
      closeFocused(form, () => show(form, false), review);
    }
  }

  function changesSince(number) {
    const place = { project: store.project, proposal: proposal.id, view: "changes", against: number };
    return addressOf(place);
  }

  function refuse(error, since = null) {
    show(refusal, error !== null);
    if (error === null) return;
    const { title, detail, reason } = refusalOf(error);
    const moved = reason === "stale_revision" && since !== null;
    fill(
      refusal,
      h("p", {}, h("strong", {}, title)),
      detail && h("p.refusal-detail", {}, detail),
      moved && h("a", { href: changesSince(since) }, "See what changed"),
    );
  }

  async function submit(id, text, verdict) {
    const revision = bound;
    refuse(null);
    try {
      await store.api.request("POST", `/proposals/${encodeURIComponent(id)}/reviews`, {
        body: { verdict, revision, text },
      });
    } catch (error) {
      if (proposal.id === id) refuse(error, revision);
      return false;
    }
    if (proposal.id === id) open(false);
    return true;
  }

  async function move(status) {
    const { id, title } = proposal;
    if (busy) return;
    if (status === "archived" && !(await confirm(archiveQuestion(proposal, title || id)))) return;
    busy = true;
    drawn.moves = "";
    drawMoves();
    refuse(null);
    try {
      await store.api.updateProposal(id, { status });
    } catch (error) {
      if (proposal.id === id) refuse(error);
    }
    busy = false;
    drawn.moves = "";
    store.changed();
  }

  function drawMoves() {
    const me = actions.me();
    const can = movesOf(me, proposal);
    const ready = isApprovable(proposal);
    const key = JSON.stringify([can, ready, busy, proposal.status]);
    if (key === drawn.moves) return;
    const focused = moves.contains(document.activeElement) && document.activeElement.dataset.to;
    drawn.moves = key;
    fill(
      moves,
      can.map((status) => {
        const early = status === "approved" && !ready;
        const off = busy || early;
        const button = h("button.small", { type: "button", dataset: { to: status } }, MOVE_LABELS[status]);
        button.classList.toggle("primary", status === "approved" && ready);
        if (early) button.title = "It takes the approvals of its reviewers first";
        button.setAttribute("aria-disabled", String(off));
        button.addEventListener("click", () => !off && void move(status));
        return button;
      }),
    );
    if (focused) (moves.querySelector(`[data-to="${focused}"]`) ?? review).focus();
  }

  function drawForm() {
    if (form.hidden) return;
    const newest = proposal.revision?.number ?? null;
    const moved = newest !== bound;
    const key = `${bound} ${newest}`;
    composer.update(proposal.id, { off: moved });
    if (key === drawn.about) return;
    drawn.about = key;
    const own = proposal.author === actions.me().id;
    const verdicts = verdictsOf(actions.me(), proposal);
    composer.buttons.forEach((button, at) => {
      show(button, verdicts.includes(["approve", "request_changes", "comment"][at]));
    });
    if (!moved) {
      fill(
        about,
        h("strong", {}, `Your verdict on revision ${bound}`),
        own && verdicts.length > 1 ? ". As its author you cannot count among its approvals." : "",
      );
      return;
    }
    const again = h("button.small", { type: "button" }, `Decide on revision ${newest}`);
    again.addEventListener("click", () => open(true));
    fill(
      about,
      h("strong", {}, `The text has changed: it is revision ${newest} now. `),
      h("a", { href: changesSince(bound) }, "See what changed"),
      " ",
      again,
    );
  }

  function drawList() {
    const standing = standingOf(proposal, nameOf);
    const key = JSON.stringify(standing);
    if (key === drawn.list) return;
    drawn.list = key;
    fill(list, standing.map((each) => verdictRow(each, changesSince)));
  }

  return {
    element,
    /** Open the form, for those who come by the keyboard. */
    open: () => !review.hidden && open(true),
    update(proposalId) {
      if (proposal && proposal.id !== proposalId) {
        show(form, false);
        show(refusal, false);
        review.setAttribute("aria-expanded", "false");
        drawn = {};
      }
      proposal = store.state.proposals[proposalId];
      const { tone, words } = summaryOf(proposal, nameOf);
      element.className = `decide tone-${tone}`;
      if (drawn.tone !== tone) {
        drawn.tone = tone;
        fill(mark, icon({ good: "check", bad: "cross", warning: "clock" }[tone] ?? "info"));
      }
      setText(summary, words);
      show(review, verdictsOf(actions.me(), proposal).length > 0);
      drawMoves();
      drawForm();
      drawList();
    },
  };
}

function archiveQuestion(proposal, title) {
  const approved = proposal.status === "approved";
  return {
    title: `Archive “${title}”?`,
    words: approved
      ? "OpenSpec writes its requirements into the specs, and its folder goes to the archive. " +
        "After that it cannot be changed any more."
      : "It was not accepted, so it is only put aside: the specs and its files stay as they are. " +
        "After that it cannot be changed any more.",
    action: approved ? "Archive, and update the specs" : "Put it aside",
  };
}

function verdictRow({ name, words, tone, stale, review }, changesSince) {
  const text = h("div.verdict-text", { hidden: !review?.text });
  if (review?.text) say(text, review.text);
  return h(
    "li.verdict-row",
    { class: `tone-${tone}` },
    h("span.verdict-mark", {}, icon(review ? ICONS[review.verdict] : "clock")),
    h(
      "div",
      {},
      h(
        "p",
        {},
        h("strong", {}, said(name)),
        ` ${words} `,
        review && h("span.muted", {}, timeOf(review.at)),
        stale && [
          " ",
          h("span.badge.stale", {}, "Stale"),
          " the text has changed since: ",
          h("a", { href: changesSince(review.revision) }, "see what changed"),
        ],
      ),
      text,
    ),
  );
}
