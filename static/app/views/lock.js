/** The project's lock: who holds it and why, a way to take it, and a way to give it back. */
import { fill, h, said, show } from "../dom.js";
import { icon } from "../icons.js";

const MAX_REASON_CHARS = 500;

export function createLock({ store, actions, names }) {
  const text = h("p.banner-text");
  const unlock = h("button.small", { type: "button", onclick: actions.unlock }, "Unlock");
  const held = h(
    "div.banner.tone-info",
    { hidden: true },
    h("span.banner-mark", {}, icon("lock")),
    text,
    unlock,
  );
  const reason = h("input", {
    id: "lock-reason",
    type: "text",
    maxLength: MAX_REASON_CHARS,
    placeholder: "Why? Everybody sees this",
    autocomplete: "off",
  });
  const form = h(
    "form.lock-form",
    { onsubmit: submit },
    h("label", { htmlFor: "lock-reason" }, "Lock the project"),
    reason,
    h("button.small.primary", { type: "submit" }, "Lock"),
    h("button.small", { type: "button", onclick: () => open(false) }, "Cancel"),
  );
  const asking = h(
    "div.banner.tone-info",
    { hidden: true },
    h("span.banner-mark", {}, icon("lock")),
    form,
  );
  const button = h(
    "button.quiet.lock-button",
    { type: "button", "aria-expanded": "false", onclick: () => open(asking.hidden) },
    icon("lock"),
    h("span.wide-only", {}, "Lock"),
  );
  button.title = "Ask the others to leave the project alone for a while";
  button.setAttribute("aria-label", "Lock the project");
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
  });

  function open(yes) {
    show(asking, yes);
    button.setAttribute("aria-expanded", String(yes));
    if (yes) reason.focus();
    else if (asking.contains(document.activeElement)) button.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (!(await actions.lock(reason.value.trim()))) return;
    reason.value = "";
    open(false);
  }

  let drawn;
  return {
    element: h("div.banners", {}, held, asking),
    button,
    update() {
      const { lock } = store.state;
      const me = actions.me();
      show(button, store.load.phase === "ready" && lock === null);
      const name = lock?.by && names.of(lock.by);
      const key = JSON.stringify([lock, name]);
      if (key === drawn) return;
      drawn = key;
      show(held, lock !== null);
      if (lock === null) return;
      show(asking, false);
      const mine = lock.by === me.id;
      const who = mine ? "You have locked the project." : name ? ["Locked by ", said(name), "."] : "Locked.";
      const why = lock.reason || "No reason was given.";
      const how = mine ? " It stays locked while you have it open." : "";
      fill(text, h("strong", {}, who), " ", said(why), how);
      show(unlock, mine || me.admin);
    },
  };
}

/** What to say to somebody whose lock ended without their doing. */
export function describeEndedLock({ why, by }) {
  switch (why) {
    case "released":
      return `${by} took your lock off the project.`;
    case "expired":
      return "Your lock on the project ended: it could not be renewed in time.";
    case "taken":
      return `Your lock on the project ended, and ${by} has locked it.`;
    default:
      return "Your lock on the project has ended.";
  }
}
