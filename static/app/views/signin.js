/** Where no token is there yet, or the one there is will not do; and which of its projects to open. */
import { addressOf, complaintAbout, partsOfPasted, projectsOf } from "../address.js";
import { fill, h, said, setText, show } from "../dom.js";
import { icon } from "../icons.js";

const PLAIN = { spellcheck: false, autocomplete: "off", autocapitalize: "off" };

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
    ...PLAIN,
    id: "token",
    name: "token",
    rows: 4,
    required: true,
    "aria-describedby": "token-hint token-error",
  });
  const projectField = h("input", {
    ...PLAIN,
    id: "project",
    name: "project",
    required: true,
    value: project ?? "",
    placeholder: "demo",
  });
  const choices = h("datalist", { id: "projects" });
  projectField.setAttribute("list", "projects");

  token.addEventListener("input", () => {
    show(error, false);
    const pasted = partsOfPasted(token.value);
    const named = projectsOf(pasted.token) ?? [];
    fill(
      choices,
      named.map((name) => h("option", { value: name })),
    );
    if (pasted.project) projectField.value = pasted.project;
    else if (named.length > 0 && projectField.value === "") projectField.value = named[0];
  });

  token.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // A token has one line.
    token.form.requestSubmit();
  });

  async function submit(event) {
    event.preventDefault();
    const { token: value } = partsOfPasted(token.value);
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

  const element = card(
    "Sign in",
    message || "Watch proposals being validated, reviewed and revised, as it happens.",
    h(
      "form",
      { onsubmit: submit, noValidate: false },
      h("label", { htmlFor: "token" }, "Token"),
      token,
      error,
      h(
        "p.hint",
        { id: "token-hint" },
        "It says who you are and which projects you may open; whoever runs this server gives you one. ",
        "You can paste the whole address that you were given. On your own server a token is printed by ",
        h("code", {}, "make run"),
        ", and by ",
        h("code", {}, "python -m rtserver token --user you --project demo"),
        ". It is kept in the tabs of this browser that you open from here, and is gone with them.",
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

/**
 * A token that opens several projects: which one?
 *
 * @param {object} options
 * @param {string[] | null} options.projects those that it names; null: every one, so it is asked for
 * @param {string} options.name who the token is for
 * @param {(project: string) => void} options.onChoose
 * @param {() => void} options.onSignIn with another token
 */
export function createChoice({ projects, name, onChoose, onSignIn }) {
  const first = projects
    ? projects.map((project) => h("a.project-choice", { href: addressOf({ project }) }, said(project)))
    : [h("input", { ...PLAIN, id: "project", required: true, placeholder: "demo" })];
  const submit = (event) => {
    event.preventDefault();
    onChoose(first[0].value.trim());
  };
  const body = projects
    ? h("nav.projects", { "aria-label": "Projects" }, first)
    : h(
        "form",
        { onsubmit: submit },
        h("label", { htmlFor: "project" }, "Project"),
        first,
        h("button.primary.wide", { type: "submit" }, "Open"),
      );
  const element = card(
    "Choose a project",
    [
      "You are signed in as ",
      h("strong", {}, said(name)),
      projects ? ", and may open these." : ", and may open every project.",
    ],
    body,
    h("button.quiet.wide", { type: "button", onclick: onSignIn }, "Use another token"),
  );
  return { element, focus: () => first[0]?.focus() };
}

function card(title, message, ...children) {
  return h(
    "main.signin",
    { id: "main" },
    h(
      "div.card",
      {},
      h("span.brand-mark.large", {}, icon("pulse")),
      h("h1", {}, title),
      h("p.muted", {}, message),
      children,
    ),
  );
}
