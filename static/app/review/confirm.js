/** Asks before something that can't be taken back. */
import { h } from "../dom.js";

/**
 * @param {{title: string, words: string, action: string}} question
 * @returns {Promise<boolean>}
 */
export function confirm({ title, words, action }) {
  return new Promise((resolve) => {
    const yes = h("button.danger", { type: "button" }, action);
    const no = h("button", { type: "button" }, "Cancel");
    const dialog = h(
      "dialog.ask",
      { "aria-labelledby": "ask-title" },
      h("h2", { id: "ask-title" }, title),
      h("p", {}, words),
      h("div.ask-buttons", {}, no, yes),
    );
    const before = document.activeElement;
    let answer = false;
    yes.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.({ preventScroll: true });
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
