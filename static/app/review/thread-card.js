/** One thread: what it is about, what was said, and what can be done with it. */
import { addressOf } from "../address.js";
import { closeFocused, fill, h, keyedList, setText, show } from "../dom.js";
import { count, initials, timeOf } from "../format.js";
import { icon } from "../icons.js";
import { createComposer } from "./composer.js";
import { confirm } from "./confirm.js";
import { mayRemove, mayResolve } from "./rights.js";
import { say } from "./say.js";
import { placeWords } from "./threads.js";

/**
 * @param {object} context {store, actions, drafts}
 * @param {{beside?: boolean}} [options] beside: it stands at its place in the text, so need not say it
 */
export function createThreadCard(context, { beside = false } = {}) {
  const { store, actions, names } = context;
  const place = h("div.thread-place", { hidden: true });
  const summaryText = h("span");
  const summary = h("summary.thread-summary", {}, icon("check"), summaryText);
  const list = h("ol.thread-comments");
  const reply = h("button.small.quiet", { type: "button" }, "Reply");
  const resolve = h("button.small.quiet", { type: "button" });
  const foot = h("div.thread-foot", {}, reply, resolve);
  const slot = h("div.thread-reply", { hidden: true });
  const inside = h("div.thread-inside", {}, list, slot, foot);
  const folded = h("details.thread-folded", { hidden: true }, summary);
  const element = h("article.thread", { tabIndex: -1 }, place, folded, inside);
  const drawList = keyedList(
    list,
    (comment) => comment.id,
    () => createComment(context, () => proposal),
  );
  let thread = null;
  let proposal = null;
  let composer = null;
  let drawn = null;

  reply.addEventListener("click", () => openReply(true));
  resolve.addEventListener("click", () => {
    void actions.changeComment(proposal.id, thread.id, { resolved: thread.resolved === null });
  });

  function openReply(yes) {
    if (yes && !composer) {
      composer = createComposer(context, {
        label: "Your reply",
        kind: `reply ${thread.id}`,
        rows: 2,
        buttons: [{ label: "Send reply", tone: "primary" }],
        send: async (id, text) => {
          const sent = await actions.comment(id, text, { reply_to: thread.id });
          if (sent) openReply(false);
          return sent;
        },
        onCancel: () => openReply(false),
      });
      slot.append(composer.element);
    }
    show(reply, !yes);
    if (yes) {
      show(slot, true);
      composer.update(proposal.id);
      composer.field.focus();
    } else closeFocused(slot, () => show(slot, false), reply);
  }

  function drawPlace() {
    const { anchor, outdated, root } = thread;
    show(place, anchor !== null && (!beside || outdated));
    if (place.hidden) return;
    const now = !outdated && root.place;
    const address = addressOf({
      project: store.project,
      proposal: proposal.id,
      view: "text",
      file: anchor.path,
      revision: now ? null : anchor.revision,
      line: now ? root.place.line : anchor.line,
      thread: thread.id,
    });
    fill(
      place,
      h("a", { href: address }, placeWords(anchor)),
      outdated && [
        " ",
        h("span.badge.outdated", { title: "Its place is not in the newest text any more" }, "Outdated"),
        h("span.muted", {}, ` on revision ${anchor.revision}`),
      ],
      anchor.quote && h("blockquote.thread-quote", {}, shortened(anchor.quote)),
    );
  }

  return {
    element,
    id: () => thread?.id,
    /** Bring it into view, opened. */
    aim() {
      folded.open = true;
      element.scrollIntoView({ block: "center" });
      element.focus({ preventScroll: true });
      element.classList.add("aimed-thread");
    },
    /** @param {{thread: import("./threads.js").Thread, proposal: object}} given */
    update(given) {
      proposal = given.proposal;
      composer?.update(proposal.id);
      const key = JSON.stringify([proposal.status, proposal.reviewers, proposal.author]);
      if (given.thread === thread && key === drawn) return;
      const wasResolved = thread?.resolved;
      thread = given.thread;
      drawn = key;
      drawPlace();
      const isResolved = thread.resolved !== null;
      element.classList.toggle("is-resolved", isResolved);
      element.setAttribute("aria-label", labelOf(thread));
      show(folded, isResolved);
      if (isResolved) {
        const many = count(1 + thread.replies.length, "comment");
        setText(summaryText, `Resolved by ${names.of(thread.resolved.by)}, ${many}`);
      }
      // One that is settled while it is read stays open, else its button would go from under the hand.
      if (isResolved && wasResolved === null) folded.open = true;
      if (isResolved && inside.parentElement !== folded) folded.append(inside);
      if (!isResolved && inside.parentElement !== element) element.append(inside);
      drawList(thread.root ? [thread.root, ...thread.replies] : thread.replies);
      const me = actions.me();
      show(resolve, thread.root !== null && mayResolve(me, thread.root, proposal));
      setText(resolve, isResolved ? "Reopen" : "Resolve");
      show(reply, thread.root !== null && slot.hidden);
    },
  };
}

function labelOf({ root, anchor }) {
  const who = root ? `Thread of ${root.author_name || root.author}` : "Answers to a removed comment";
  return anchor ? `${who} about ${placeWords(anchor)}` : who;
}

function shortened(quote) {
  return quote.length > 240 ? `${quote.slice(0, 240)}…` : quote;
}

function createComment(context, proposalOf) {
  const { actions } = context;
  const name = h("strong", { dir: "auto" });
  const when = h("time.muted");
  const edited = h("span.muted", { hidden: true }, " (edited)");
  const body = h("div.comment-text", { dir: "auto" });
  const edit = h("button.comment-tool", { type: "button" }, "Edit");
  const remove = h("button.comment-tool", { type: "button" }, "Delete");
  const avatar = h("span.avatar", { "aria-hidden": "true" });
  const slot = h("div", { hidden: true });
  const element = h(
    "li.comment",
    {},
    avatar,
    h(
      "div",
      {},
      h("p.comment-head", {}, name, " ", when, edited, h("span.comment-tools", {}, edit, remove)),
      body,
      slot,
    ),
  );
  let comment = null;

  function editing(yes) {
    show(body, !yes);
    if (!yes) {
      closeFocused(slot, () => fill(slot), edit);
      show(slot, false);
      return;
    }
    show(slot, true);
    fill(slot);
    const { id: proposal } = proposalOf();
    const composer = createComposer(context, {
      label: "Your comment, changed",
      kind: `edit ${comment.id}`,
      buttons: [{ label: "Save", tone: "primary" }],
      send: async (about, text) => {
        const saved = await actions.changeComment(about, comment.id, { text });
        if (saved) editing(false);
        return saved;
      },
      onCancel: () => editing(false),
    });
    composer.update(proposal);
    if (composer.field.value === "") composer.field.value = comment.text;
    slot.append(composer.element);
    composer.field.focus();
  }

  edit.addEventListener("click", () => editing(true));
  remove.addEventListener("click", async () => {
    const question = {
      title: "Delete this comment?",
      words: "It is gone for everybody, and cannot be brought back. Answers to it stay.",
      action: "Delete",
    };
    if (await confirm(question)) void actions.removeComment(proposalOf().id, comment.id);
  });

  return {
    element,
    update(next) {
      if (next === comment) return;
      comment = next;
      const author = String(next.author_name || next.author || "");
      const me = actions.me();
      setText(avatar, initials(author));
      setText(name, author);
      name.title = String(next.author ?? "");
      const at = next.created_at ?? "";
      when.dateTime = at;
      setText(when, timeOf(at));
      show(edited, Boolean(next.edited_at));
      say(body, String(next.text ?? ""));
      show(edit, next.author === me.id);
      show(remove, mayRemove(me, next));
    },
  };
}
