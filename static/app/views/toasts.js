/** Short notices that go by themselves. What must be read stands in the page: see banner.js. */
import { h } from "../dom.js";
import { icon } from "../icons.js";

const SHOWN_MS = 7_000;
const MOST = 3;
const TONE_ICONS = { good: "check", info: "bell", warning: "warning", bad: "warning" };

export function createToasts() {
  const element = h("div.toasts", { role: "status", "aria-live": "polite" });

  function say(text, { tone = "good" } = {}) {
    const toast = h(
      "div.toast",
      { class: `tone-${tone}` },
      h("span.toast-mark", {}, icon(TONE_ICONS[tone])),
      h("p", {}, text),
    );
    const remove = () => {
      clearTimeout(timer);
      toast.remove();
    };
    toast.append(
      h(
        "button.toast-close",
        { type: "button", "aria-label": "Dismiss", onclick: remove },
        icon("cross"),
      ),
    );
    let timer = null;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(remove, SHOWN_MS);
    };
    // It must not go while somebody reads it with the pointer or the keyboard on it.
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", wait);
    toast.addEventListener("focusin", () => clearTimeout(timer));
    toast.addEventListener("focusout", wait);
    element.append(toast);
    while (element.childElementCount > MOST) element.firstElementChild.remove();
    wait();
  }

  return { element, say };
}
