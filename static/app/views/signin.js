/** Where no token is there yet, or the one there is will not do. */
import { complaintAbout, projectsOf } from "../address.js";
import { fill, h, setText, show } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {object} options
 * @param {string | null} options.project filled in where it is known
 * @param {string} [options.message] why the reader is asked again
 * @param {(token: string, project: string) => void} options.onSubmit
 * @param {(() => void) | null} [options.onCancel] where there is something to go back to
 */
export function createSignIn({ project, message = "", onSubmit, onCancel = null }) {
  const error = h("p.field-error", { id: "token-error", role: "alert", hidden: true });
  const token = h("textarea.token-field", {
    id: "token",
    name: "token",
    rows: 4,
    required: true,
    spellcheck: false,
    autocomplete: "off",
    autocapitalize: "off",
    "aria-describedby": "token-hint token-error",
  });
  const projectField = h("input", {
    id: "project",
    name: "project",
    required: true,
    value: project ?? "",
    spellcheck: false,
    autocomplete: "off",
    autocapitalize: "off",
    placeholder: "demo",
  });
  const choices = h("datalist", { id: "projects" });
  projectField.setAttribute("list", "projects");

  token.addEventListener("input", () => {
    show(error, false);
    const named = projectsOf(token.value.trim()) ?? [];
    fill(
      choices,
      named.map((name) => h("option", { value: name })),
    );
    if (named.length > 0 && projectField.value === "") projectField.value = named[0];
  });

  async function submit(event) {
    event.preventDefault();
    const value = token.value.trim();
    const complaint = await complaintAbout(value);
    if (complaint) {
      setText(error, complaint);
      show(error, true);
      token.setAttribute("aria-invalid", "true");
      token.focus();
      return;
    }
    onSubmit(value, projectField.value.trim());
  }

  const element = h(
    "main.signin",
    { id: "main" },
    h(
      "form.card",
      { onsubmit: submit, noValidate: false },
      h("span.brand-mark.large", {}, icon("pulse")),
      h("h1", {}, "Sign in"),
      h("p.muted", {}, message || "Watch proposals being validated and revised, as it happens."),
      h("label", { htmlFor: "token" }, "Token"),
      token,
      error,
      h(
        "p.hint",
        { id: "token-hint" },
        "Printed by ",
        h("code", {}, "make run"),
        ", or by ",
        h("code", {}, "python -m rtserver token --user you --project demo"),
        ". It stays in this tab and is gone when you close it.",
      ),
      h("label", { htmlFor: "project" }, "Project"),
      projectField,
      choices,
      h("button.primary.wide", { type: "submit" }, "Sign in"),
      onCancel && h("button.quiet.wide", { type: "button", onclick: onCancel }, "Not now"),
    ),
  );
  return { element, focus: () => token.focus() };
}
