/** What people say about a proposal. Its author and reviewers see new comments as they come. */
import { h, keyedList, setText, show } from "../dom.js";
import { draftField } from "../drafts.js";
import { initials, timeOf } from "../format.js";
import { describeFailure } from "../words.js";

const NOBODY = "Nobody has said anything yet.";

export function createDiscussion({ store, actions, drafts }) {
  const list = h("ol.comments");
  const empty = h("p.muted.comments-empty", { hidden: true }, NOBODY);
  const text = h("textarea", { id: "comment", rows: 3, maxLength: 8000, required: true });
  const send = h("button.primary", { type: "submit" }, "Comment");
  const form = h(
    "form.comment-form",
    {},
    h("label", { htmlFor: "comment" }, "Your comment"),
    text,
    h("div.form-foot", {}, h("p.hint", {}, "Its author and reviewers are told."), send),
  );
  const element = h("section.discussion", { "aria-label": "Discussion" }, empty, list, form);
  const drawList = keyedList(list, (comment) => String(comment.id), makeComment);
  const draft = draftField(text, drafts, "comment");
  const sending = new Set();
  let proposal = null;
  let asked = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (words === "" || sending.has(proposal)) return;
    const about = proposal;
    sending.add(about);
    send.disabled = true;
    if (await actions.comment(about, words)) draft.sent(about, words);
    sending.delete(about);
    send.disabled = sending.has(proposal);
  });

  async function load(id) {
    asked = id;
    setText(empty, NOBODY);
    try {
      await store.loadComments(id);
    } catch (error) {
      if (asked !== id) return;
      show(empty, true);
      setText(empty, describeFailure(error));
    }
  }

  return {
    element,
    update(proposalId) {
      proposal = proposalId;
      draft.show(proposalId);
      send.disabled = sending.has(proposalId);
      if (asked !== proposalId) void load(proposalId);
      const comments = store.state.proposals[proposalId]?.comments ?? [];
      show(empty, comments.length === 0);
      drawList(comments);
    },
  };
}

function makeComment(comment) {
  const author = String(comment.author_name || comment.author || "");
  const body = h("p.comment-text");
  const when = h("time.muted");
  const element = h(
    "li.comment",
    {},
    h("span.avatar", { "aria-hidden": "true" }, initials(author)),
    h("div", {}, h("p.comment-head", {}, h("strong", {}, author), " ", when), body),
  );
  return {
    element,
    update(next) {
      setText(body, String(next.text ?? ""));
      const at = next.created_at ?? "";
      when.dateTime = at;
      setText(when, timeOf(at));
    },
  };
}
