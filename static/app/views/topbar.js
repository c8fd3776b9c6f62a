/** The bar at the top: where one is, who else is, and how the connection does. */
import { fill, h, setText } from "../dom.js";
import { initials, listOf } from "../format.js";
import { icon, spinner } from "../icons.js";
import { addressOf } from "../address.js";
import { describeConnection } from "../words.js";
import { claimsOf } from "../../client/index.js";

const SHOWN_PEOPLE = 4;
const NOT_CONNECTED = { tone: "bad", short: "Not connected", title: "Not connected", detail: "" };

export function createTopbar({ store, actions }) {
  const dot = h("span.pill-mark");
  const pillText = h("span");
  const pill = h("span.pill", {}, dot, pillText);
  const people = h("div.people");
  const claims = claimsOf(store.token);
  const me = String(claims.name ?? claims.sub ?? "");
  const element = h(
    "header.topbar",
    {},
    h(
      "a.brand",
      {
        href: addressOf({ project: store.project }),
        "aria-label": `All proposals of ${store.project}`,
      },
      h("span.brand-mark", {}, icon("pulse")),
      h("span.brand-name", {}, "rtserver"),
      h("span.brand-sep", { "aria-hidden": "true" }, "/"),
      h("span.brand-project", {}, store.project),
    ),
    h("div.topbar-space"),
    people,
    pill,
    h(
      "button.quiet.sign-out",
      { type: "button", title: me ? `Signed in as ${me}` : "Sign out", onclick: actions.signOut },
      icon("out"),
      h("span.wide-only", {}, "Sign out"),
    ),
  );

  let drawnPresent = null;
  let drawnTone = null;
  return {
    element,
    update() {
      const failed = store.load.phase === "failed";
      const words = failed ? NOT_CONNECTED : describeConnection(store.connection, Date.now());
      if (drawnTone !== words.tone) {
        drawnTone = words.tone;
        pill.className = `pill tone-${words.tone}`;
        fill(dot, words.tone === "busy" || words.tone === "warning" ? spinner() : null);
      }
      setText(pillText, words.short);
      pill.title = words.countdown ? words.title : `${words.title}. ${words.detail}`;
      if (drawnPresent !== store.state.present) {
        drawnPresent = store.state.present;
        drawPeople(people, drawnPresent, claims.sub);
      }
    },
  };
}

/** Everyone once, however many windows they have open, the reader left out. */
function others(present, me) {
  const names = new Map();
  for (const entry of present) {
    const id = typeof entry === "string" ? entry : entry.user_id;
    if (id && id !== me) names.set(id, entry.name || id);
  }
  return [...names.values()];
}

function drawPeople(people, present, me) {
  const names = others(present, me);
  people.hidden = names.length === 0;
  if (names.length === 0) return;
  const rest = names.length - SHOWN_PEOPLE;
  fill(
    people,
    h("span.visually-hidden", {}, `Also here: ${listOf(names)}`),
    names
      .slice(0, SHOWN_PEOPLE)
      .map((name) => h("span.avatar", { title: name, "aria-hidden": "true" }, initials(name))),
    rest > 0 && h("span.avatar.more", { "aria-hidden": "true", title: listOf(names) }, `+${rest}`),
  );
}
