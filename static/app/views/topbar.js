/** The bar at the top: where one is, how the connection does, and what others put into it. */
import { fill, h, said, setText } from "../dom.js";
import { icon, spinner } from "../icons.js";
import { addressOf, CHOICE, projectsOf } from "../address.js";
import { notifications } from "../news.js";
import { describeConnection } from "../words.js";
import { claimsOf } from "../../client/index.js";

const NOT_CONNECTED = { tone: "bad", short: "Not connected", title: "Not connected", detail: "" };

const REFUSED = "Your browser does not allow this page to notify you; its settings can change that.";

/** Turns notifications of the browser on and off; the choice goes for all tabs. */
function createBell(say) {
  const label = h("span.visually-hidden", {}, "Notify me");
  const bell = h(
    "button.quiet.bell",
    { type: "button", title: "Notify me of what concerns me while this tab is hidden" },
    icon("bell"),
    label,
  );
  bell.addEventListener("click", async () => {
    const now = await notifications.toggle();
    if (now === "denied") say(REFUSED, { tone: "warning" });
    else say(now === "on" ? "You are notified while this tab is hidden." : "You are not notified.");
    update();
  });
  const update = () => bell.setAttribute("aria-pressed", String(notifications.on));
  bell.hidden = !notifications.can;
  update();
  return bell;
}

export function createTopbar({ store, actions, say }, ...more) {
  const dot = h("span.pill-mark");
  const pillText = h("span");
  const pill = h("span.pill", {}, dot, pillText);
  const claims = claimsOf(store.token);
  const me = String(claims.name ?? claims.sub ?? "");
  const element = h(
    "header.topbar",
    {},
    h(
      "a.brand",
      { href: addressOf({ project: store.project }) },
      h("span.brand-mark", {}, icon("pulse")),
      h("span.brand-name", {}, "rtserver"),
      h("span.brand-sep", { "aria-hidden": "true" }, "/"),
      h("span.brand-project", {}, said(store.project)),
      h("span.visually-hidden", {}, ": all proposals"),
    ),
    projectsOf(store.token)?.length !== 1 && h("a.switch", { href: CHOICE }, "Switch"),
    h("div.topbar-space"),
    more,
    createBell(say),
    pill,
    me && h("span.me.wide-only", { title: `Signed in as ${me}` }, said(me)),
    h(
      "button.quiet.sign-out",
      { type: "button", title: me ? `Signed in as ${me}` : "Sign out", onclick: actions.signOut },
      icon("out"),
      h("span.wide-only", {}, "Sign out"),
    ),
  );

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
    },
  };
}
