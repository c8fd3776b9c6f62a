/** Threads at their places in the text, and the field for a new one. */
import { closeFocused, h } from "../dom.js";
import { icon } from "../icons.js";
import { createComposer } from "./composer.js";
import { headingAt, quoteIn } from "./sources.js";
import { createThreadCard } from "./thread-card.js";
import { lineIn, placeWords } from "./threads.js";

const MAX_QUOTE_CHARS = 2_000;
const ANCHOR_KIND = "place anchor";

/**
 * @param {object} context {store, actions, drafts}
 * @param {HTMLElement} body what the file is shown in
 */
export function createInline(context, body) {
  const { actions, drafts } = context;
  const cards = new Map();
  const lost = h("section.lost-threads", { "aria-label": "Threads whose place is gone" });
  const about = h("p.new-thread-about");
  const composer = createComposer(context, {
    label: "Your comment on this place",
    kind: "place",
    buttons: [{ label: "Comment here", tone: "primary" }],
    send: async (id, text) => {
      const sent = await actions.comment(id, text, { anchor });
      if (sent) close();
      return sent;
    },
    onCancel: close,
  });
  const fresh = h("div.thread.new-thread", { role: "group", "aria-label": "New thread" }, about, composer.element);
  const onSelection = h("button.small.primary.on-selection", { type: "button", hidden: true }, icon("comment"), "Comment");
  /** What the new thread is about; null where none is being written. */
  let anchor = null;
  let shown = null;
  let threads = [];
  let opener = null;

  /** Another file, or another text of it, is shown: {plain, path, text, revision, isNewest, proposal}. */
  function attach(next) {
    shown = next;
    opener = null;
    restore();
    if (next.plain) return;
    for (const heading of body.querySelectorAll(".md-heading")) {
      const words = heading.textContent;
      const button = h(
        "button.comment-here",
        { type: "button", "aria-label": `Comment on “${words}”`, title: "Comment on this section" },
        icon("comment"),
      );
      button.addEventListener("click", () => {
        opener = button;
        const line = Number(heading.dataset.line);
        begin({ heading: headingAt(shown.text, line)?.text.slice(0, 300) ?? words, quote: null, line });
      });
      heading.after(button); // In it, it would be part of the heading's name.
    }
    body.append(onSelection);
  }

  /** What was begun about this file and not sent, as it was before a reload. */
  function restore() {
    const { id } = shown.proposal;
    const kept = drafts.get(id, ANCHOR_KIND);
    const text = drafts.get(id, "place");
    anchor = null;
    if (kept === "" || text === "") return;
    const found = JSON.parse(kept);
    if (found.path === shown.path && found.revision === shown.revision.number) anchor = found;
  }

  function begin(place) {
    anchor = { revision: shown.revision.number, path: shown.path, ...place };
    drafts.set(shown.proposal.id, ANCHOR_KIND, JSON.stringify(anchor));
    onSelection.hidden = true;
    composer.update(shown.proposal.id);
    draw();
    composer.field.focus();
    fresh.scrollIntoView({ block: "nearest" });
  }

  function close() {
    anchor = null;
    closeFocused(fresh, () => fresh.remove(), opener);
  }

  /** A line of the source is a place too. */
  function onLine(line) {
    opener = body.querySelector(`.source-line[data-line="${line}"] .line-number`);
    begin({ heading: headingAt(shown.text, line)?.text.slice(0, 300) ?? null, quote: null, line });
  }

  /** What is selected in the text, as it stands in the source; null where nothing is. */
  function selected() {
    const selection = document.getSelection();
    // Asked for more than its anchor, a browser lays the page out first.
    if (!shown || !selection?.anchorNode || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const start = elementOf(range.startContainer);
    const isInside = body.contains(start) && body.contains(range.endContainer);
    if (!isInside || start.closest(".thread")) return null;
    const from = Number(start.closest("[data-line]")?.dataset.line ?? 1);
    const found = quoteIn(shown.text, selection.toString(), from);
    const heading = headingAt(shown.text, found?.line ?? from)?.text.slice(0, 300) ?? null;
    const quote = found && found.quote.length <= MAX_QUOTE_CHARS ? found.quote : null;
    return { range, place: { heading, quote, line: found?.line ?? from } };
  }

  /** Offer to comment on what is selected, below it. */
  function offer() {
    const found = body.isConnected ? selected() : null;
    onSelection.hidden = found === null;
    if (!found || !onSelection.isConnected) return;
    const box = body.getBoundingClientRect();
    const end = found.range.getBoundingClientRect();
    onSelection.style.top = `${end.bottom - box.top + 6}px`;
    onSelection.style.left = `${Math.max(0, Math.min(end.left - box.left, box.width - 130))}px`;
  }
  body.addEventListener("pointerup", () => setTimeout(offer));
  body.addEventListener("keyup", offer);
  // Pressing it must not take the selection away first.
  onSelection.addEventListener("pointerdown", (event) => event.preventDefault());
  onSelection.addEventListener("click", () => comment());

  /** Comment on what is selected, or on the heading that has the focus; false where neither is. */
  function comment() {
    const found = selected();
    if (found) {
      document.getSelection().removeAllRanges();
      begin(found.place);
      return true;
    }
    const heading = document.activeElement?.closest?.(".md-heading");
    const button = heading?.nextElementSibling;
    if (!button?.matches(".comment-here")) return false;
    button.click();
    return true;
  }

  /** Put an element below the block that a line is in, after those that are there already. */
  function below(element, line, last) {
    const target = blockFor(body, line);
    if (!target) return false;
    const isLine = target.classList.contains("source-line");
    const own = target.nextElementSibling?.matches(".comment-here") && target.nextElementSibling;
    const before = last.get(target) ?? (isLine ? target.querySelector("code") : own || target);
    if (before.nextElementSibling !== element) before.after(element);
    last.set(target, element);
    return true;
  }

  function draw() {
    const mine = threads.filter(({ anchor: about }) => about?.path === shown.path);
    const last = new Map();
    const gone = [];
    for (const thread of mine) {
      if (!cards.has(thread.id)) cards.set(thread.id, createThreadCard(context, { beside: true }));
      const card = cards.get(thread.id);
      card.update({ thread, proposal: shown.proposal });
      const line = lineIn(thread, shown.revision, shown.isNewest);
      if (line === null || !below(card.element, line, last)) gone.push(card.element);
    }
    for (const [id, card] of cards) {
      if (mine.some((thread) => thread.id === id)) continue;
      card.element.remove();
      cards.delete(id);
    }
    drawLost(gone);
    if (!anchor) return;
    const words = anchor.quote ? `“${anchor.quote.slice(0, 120)}”` : placeWords(anchor);
    if (about.textContent !== `About ${words}`) about.textContent = `About ${words}`;
    below(fresh, anchor.line ?? 1, last);
  }

  function drawLost(gone) {
    const isSame = lost.childElementCount === gone.length + 1 && gone.every((each) => lost.contains(each));
    if (gone.length === 0) lost.remove();
    else if (!isSame || !lost.isConnected) {
      const title = shown.isNewest ? "About what is not in this text any more" : "About another revision";
      lost.replaceChildren(h("h3", {}, title), ...gone);
      body.append(lost);
    }
  }

  return {
    attach,
    onLine,
    comment,
    update(all, facts) {
      if (!shown) return;
      threads = all;
      shown = { ...shown, ...facts };
      composer.update(shown.proposal.id);
      draw();
      offer(); // Which also takes the offer back where nothing is selected any more.
    },
    aim: (id) => cards.get(id)?.aim(),
    has: (id) => cards.get(id)?.element.isConnected === true,
  };
}

function elementOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement;
}

/** The outermost block of the text that a line is in. */
function blockFor(body, line) {
  let found = null;
  for (const block of body.querySelectorAll("[data-line]")) {
    if (Number(block.dataset.line) > line) break;
    found = block;
  }
  if (found?.classList.contains("source-line")) return found;
  while (found && found.parentElement !== body) found = found.parentElement;
  return found;
}
