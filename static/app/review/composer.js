/** A field for what somebody has to say: Markdown, names completed, kept until it is sent. */
import { h, show, setText } from "../dom.js";
import { draftField } from "../drafts.js";
import { describeSending } from "../words.js";
import { completeMentions, knownPeople } from "./mentions.js";

const MAX_CHARS = 8_000;
let fields = 0;

/**
 * @param {object} context {store, drafts}
 * @param {object} options
 * @param {string} options.label
 * @param {string} options.kind of draft
 * @param {string} [options.hint]
 * @param {number} [options.rows]
 * @param {boolean} [options.optional] whether there need not be any words
 * @param {{label: string, tone?: string, value?: string}[]} options.buttons the first one is what
 *   Ctrl and Enter press
 * @param {(proposal: string, text: string, value: string | undefined) => Promise<boolean>} options.send
 *   whether it was taken
 * @param {(() => void) | null} [options.onCancel] also what Escape does
 */
export function createComposer(context, options) {
  const { store, drafts } = context;
  const id = `said-${(fields += 1)}`;
  const field = h("textarea", { id, rows: options.rows ?? 3, maxLength: MAX_CHARS });
  const buttons = options.buttons.map(({ label, tone = "", value }) => {
    const button = h("button", { type: "button", class: tone }, label);
    button.addEventListener("click", () => void submit(value));
    return button;
  });
  const cancel = h("button.quiet", { type: "button", hidden: !options.onCancel }, "Cancel");
  const words = options.hint ?? "Markdown and @names. Ctrl and Enter send it.";
  const hint = h("p.hint", { id: `${id}-hint` });
  for (const button of buttons) button.setAttribute("aria-describedby", hint.id);
  const complaint = h("p.field-error", { role: "alert", hidden: true });
  const element = h(
    "form.composer",
    {},
    h("label", { htmlFor: id }, options.label),
    field,
    completeMentions(field, () => knownPeople(store.state, proposal)),
    complaint,
    h(
      "div.form-foot",
      {},
      hint,
      h("div.composer-buttons", {}, buttons, cancel),
    ),
  );
  const draft = draftField(field, drafts, options.kind);
  let proposal = null;
  const sending = new Set();

  function complain(words) {
    show(complaint, words !== "");
    setText(complaint, words);
  }

  async function submit(value) {
    const text = field.value.trim();
    const about = proposal;
    if (sending.has(about) || buttons[0].getAttribute("aria-disabled") === "true") return;
    if (text === "" && !options.optional) {
      complain("There is nothing to send yet.");
      field.focus();
      return;
    }
    complain("");
    setSending(about, true);
    const taken = await options.send(about, text, value);
    setSending(about, false);
    if (taken) draft.sent(about, text);
  }

  function setSending(about, yes) {
    if (yes) sending.add(about);
    else sending.delete(about);
    draw();
  }

  function draw() {
    const off = sending.has(proposal) || isOff;
    for (const button of buttons) button.setAttribute("aria-disabled", String(off));
    const unsent = describeSending(store.connection);
    hint.classList.toggle("warning", unsent !== "");
    setText(hint, unsent || words);
  }

  let isOff = false;
  element.addEventListener("submit", (event) => event.preventDefault());
  cancel.addEventListener("click", () => options.onCancel());
  field.addEventListener("input", () => complain(""));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void submit(options.buttons[0].value);
    } else if (event.key === "Escape" && options.onCancel) {
      event.stopPropagation();
      options.onCancel();
    }
  });

  return {
    element,
    field,
    buttons,
    /** Show what was typed about a proposal and not sent. */
    update(proposalId, { off = false } = {}) {
      proposal = proposalId;
      isOff = off;
      draft.show(proposalId);
      draw();
    },
  };
}
