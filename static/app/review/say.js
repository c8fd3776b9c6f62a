/** What somebody said, as Markdown; as plain text until the renderer is there, or where it is not. */
import { loadMarkdown } from "./markdown.js";

const MENTION = /(^|[^\w@])@(\w(?:[\w.-]*\w)?)/g;

/** Show a text in an element. */
export function say(element, text) {
  if (element.dataset.said === text) return;
  element.dataset.said = text;
  element.classList.remove("prose");
  element.textContent = text;
  loadMarkdown().then(
    (renderer) => {
      if (element.dataset.said !== text) return; // Something else is said by now.
      element.classList.add("prose");
      element.replaceChildren(renderer.comment(text));
      markMentions(element);
    },
    () => {}, // It stands there as it was written.
  );
}

function markMentions(element) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.closest("code, a") && node.data.includes("@")) found.push(node);
  }
  for (const node of found) {
    const parts = [];
    let at = 0;
    for (const match of node.data.matchAll(MENTION)) {
      const start = match.index + match[1].length;
      const mark = document.createElement("span");
      mark.className = "mention";
      mark.textContent = `@${match[2]}`;
      parts.push(node.data.slice(at, start), mark);
      at = start + mark.textContent.length;
    }
    if (parts.length > 0) node.replaceWith(...parts, node.data.slice(at));
  }
}
