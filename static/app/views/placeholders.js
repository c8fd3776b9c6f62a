/** What stands in the page's main part where no proposal does. */
import { addressOf } from "../address.js";
import { h } from "../dom.js";
import { icon } from "../icons.js";

export function unchosen() {
  return h(
    "div.empty.center",
    {},
    h("span.empty-mark", {}, icon("file")),
    h("p", {}, "Choose a proposal to see what is happening."),
  );
}

export function skeleton() {
  return h(
    "div.skeleton",
    { role: "status" },
    h("span.visually-hidden", {}, "Loading the project"),
    h("span.bone.title"),
    h("span.bone"),
    h("span.bone.block"),
  );
}

export function empty(project) {
  return h(
    "div.empty.center",
    {},
    h("span.empty-mark", {}, icon("file")),
    h("h1", {}, "No proposals yet"),
    h("p.muted", {}, "They appear here as soon as somebody creates one. Over HTTP that is:"),
    h("pre.code", { tabIndex: 0 }, `POST /api/v1/projects/${project}/proposals\n{"title": "…"}`),
  );
}

const AWAY = "It may be down for a moment, or your network is. What you had open is not lost.";

export function failure(store, onSignIn) {
  const { error } = store.load;
  const refused = error.status === 401 || error.status === 403;
  const heading = {
    0: "The server cannot be reached",
    401: "Your sign-in is not valid",
    403: `You have no access to “${store.project}”`,
    404: `There is no project “${store.project}”`,
  }[error.status];
  return h(
    "div.empty.center",
    { role: "alert" },
    h("span.empty-mark.tone-bad", {}, icon(refused ? "lock" : "unplugged")),
    h("h1", {}, heading ?? "The project could not be loaded"),
    h("p.muted", {}, error.status === 0 ? AWAY : error.message),
    h(
      "div.empty-actions",
      {},
      refused &&
        h("button.primary", { type: "button", onclick: () => onSignIn("") }, "Use another token"),
      h(
        refused ? "button" : "button.primary",
        { type: "button", onclick: () => void store.open() },
        icon("retry"),
        "Try again",
      ),
    ),
  );
}

export function missing(id, project) {
  return h(
    "div.empty.center",
    {},
    h("span.empty-mark", {}, icon("file")),
    h("h1", {}, "No such proposal"),
    h("p.muted", {}, `This project has no proposal “${id}”.`),
    h("a", { href: addressOf({ project }) }, "See all proposals"),
  );
}
