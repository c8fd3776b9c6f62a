/** What people say about a proposal: its threads, those about places in the text and the others. */
import { h, keyedList, setText, show } from "../dom.js";
import { describeFailure } from "../words.js";
import { createComposer } from "../review/composer.js";
import { createThreadCard } from "../review/thread-card.js";
import { threadsOf } from "../review/threads.js";

const NOBODY = "Nobody has said anything yet. You can also comment on a place in the text.";
/** So many of the newest are drawn; older ones on demand. */
const SHOWN = 30;

export function createDiscussion(context) {
  const { store, actions, comments } = context;
  const list = h("div.threads");
  const empty = h("p.muted.comments-empty", { hidden: true }, NOBODY);
  const again = h("button.small", { type: "button", hidden: true }, "Try again");
  const earlier = h("button.small", { type: "button", hidden: true });
  const composer = createComposer(context, {
    label: "Your comment",
    hint: "Its author and reviewers are told. Markdown and @names.",
    kind: "comment",
    buttons: [{ label: "Comment", tone: "primary" }],
    send: (id, text) => actions.comment(id, text),
  });
  const element = h(
    "section.discussion",
    { "aria-label": "Discussion" },
    empty,
    again,
    earlier,
    list,
    composer.element,
  );
  const cards = new Map();
  const drawList = keyedList(
    list,
    ({ thread }) => thread.id,
    ({ thread }) => {
      const card = createThreadCard(context);
      cards.set(thread.id, card);
      return card;
    },
  );
  let open = { id: null, shown: SHOWN };
  let aimed = null;

  again.addEventListener("click", () => comments.again());
  earlier.addEventListener("click", () => {
    const first = list.firstElementChild;
    open.shown += SHOWN;
    store.changed();
    // What was read stays where it is.
    const before = first?.getBoundingClientRect().top ?? 0;
    requestAnimationFrame(() => {
      const scroller = list.closest(".main");
      scroller?.scrollBy(0, (first?.getBoundingClientRect().top ?? 0) - before);
    });
  });

  return {
    element,
    /** @returns {HTMLElement} for those who come by the keyboard */
    field: composer.field,
    update(proposalId, place) {
      const proposal = store.state.proposals[proposalId];
      if (open.id !== proposalId) {
        open = { id: proposalId, shown: SHOWN };
        aimed = null;
      }
      composer.update(proposalId);
      const all = threadsOf(proposal?.comments);
      const wanted = all.findIndex(({ id }) => id === place.thread);
      if (wanted >= 0) open.shown = Math.max(open.shown, all.length - wanted);
      show(empty, all.length === 0);
      setText(empty, comments.error ? describeFailure(comments.error) : comments.loaded ? NOBODY : "Loading…");
      show(again, comments.error !== null);
      const hidden = Math.max(0, all.length - open.shown);
      show(earlier, hidden > 0);
      setText(earlier, `Show ${Math.min(SHOWN, hidden)} of ${hidden} earlier`);
      drawList(all.slice(hidden).map((thread) => ({ thread, proposal })));
      if (place.thread !== aimed && wanted >= 0) {
        aimed = place.thread;
        cards.get(place.thread).aim();
      }
    },
  };
}
