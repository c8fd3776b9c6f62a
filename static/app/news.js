/**
 * Tells the reader what others did, wherever the reader is: a line with a link, counts, and a
 * notification of the browser where that was allowed.
 */
import { addressOf } from "./address.js";
import { h, said } from "./dom.js";
import { count, words } from "./format.js";
import { ApiError } from "../client/index.js";
import { newCollisions } from "./review/collisions.js";
import { placeOf } from "./unread.js";

/** One line at a time, and no sooner after another; what comes meanwhile is counted in the next. */
const LINE_MS = 2_500;
/** How far back news is looked for when a page is opened, in pages of a thousand events. */
const PAGES = 20;
const REACHED_MS = 5_000;
const NOTIFY_KEY = "rtserver.notify";

/** Parts of the detail in which news of a kind is seen. */
const SEEN_IN = new Map([
  ["discussion", ["any", "discussion"]],
  ["checks", ["any", "checks"]],
  ["revise", ["any", "checks"]],
]);

const VERDICTS = new Map([
  ["approve", "approved"],
  ["request_changes", "asked for changes to"],
]);
const ENDS = new Map([
  ["passed", "passed"],
  ["failed", "failed"],
  ["done", "is done"],
]);

/**
 * What an event says, in words.
 *
 * @param {object} event
 * @param {{names: import("./names.js").Names, run?: object}} about run: the run that has ended
 * @returns {{who: string, did: string, then: string}} who did, what (a proposal), and to what end; who
 *   is empty where it is a run that did
 */
export function describeNews(event, { names, run }) {
  const who = names.of(event.actor);
  const outcome = (what, status) => ({
    who: "",
    did: `${what} of`,
    then: ENDS.get(status) ?? "could not finish",
  });
  switch (event.type) {
    case "comment_created": {
      const { author_name: author } = event.comment ?? {};
      return { who: author || who, did: "commented on", then: "" };
    }
    case "status_changed": {
      const then = `to “${words(event.to)}”`;
      return event.actor
        ? { who, did: "moved", then }
        : { who: "A change of its text", did: "moved", then };
    }
    case "review_submitted": {
      const { reviewer_name: reviewer, verdict } = event.review ?? {};
      return { who: reviewer || who, did: VERDICTS.get(verdict) ?? "reviewed", then: "" };
    }
    case "proposal_created":
      return { who, did: "proposed", then: "" };
    case "validation_complete":
      return outcome("The validation", event.status);
    case "iteration_complete":
      return outcome("The revision", "done");
    default:
      return outcome(run?.kind === "iteration" ? "The revision" : "The validation", "error");
  }
}

/**
 * @param {object} options
 * @param {import("./store.js").ProjectStore} options.store
 * @param {import("./unread.js").Unread} options.unread
 * @param {import("./names.js").Names} options.names
 * @param {{id: string}} options.me
 * @param {(nodes: Node[], options: object) => void} options.say shows a line
 * @param {() => {proposal: string | null, view: string | null}} options.place where the reader is
 */
export function createNews({ store, unread, names, me, say, place }) {
  let waiting = [];
  let timer = null;
  let caughtUp = false;
  let reachedAt = 0;
  const collided = new Map();
  let lookedThrough = null;

  const titleOf = (id) => store.state.proposals[id]?.title || id;
  const isSeen = (event) => {
    const { proposal, view } = place();
    const seen = SEEN_IN.get(view) ?? ["any"];
    return !document.hidden && proposal === event.proposal_id && seen.includes(placeOf(event));
  };

  function addressFor(event) {
    const at = { project: store.project, proposal: event.proposal_id };
    if (event.comment) return addressOf({ ...at, view: "discussion", thread: event.comment.id });
    if (event.run_id) return addressOf({ ...at, view: "checks", run: event.run_id });
    return addressOf(at);
  }

  function heard(event) {
    if (placeOf(event) === null || !unread.note(event)) return;
    if (isSeen(event)) return; // It is before the reader's eyes.
    waiting.push(event);
    notify(event);
    if (timer === null) showLine();
  }

  function showLine() {
    timer = waiting.length === 0 ? null : setTimeout(showLine, LINE_MS);
    const news = waiting.filter((event) => !isSeen(event));
    waiting = [];
    const last = news.at(-1);
    if (!last) return;
    const { who, did, then } = describe(last);
    const title = said(`“${titleOf(last.proposal_id)}”`);
    say(
      [
        who && [said(who), " "],
        `${did} `,
        h("a", { href: addressFor(last) }, title),
        then && ` ${then}`,
        ".",
        news.length > 1 && ` And ${count(news.length - 1, "more thing", "more things")} happened.`,
      ],
      { tone: "info" },
    );
  }

  function describe(event) {
    return describeNews(event, { names, run: store.state.runs[event.run_id] });
  }

  /** Another's text may collide with one's own at any time: its author is told at once. */
  function tellCollisions() {
    const { proposals } = store.state;
    if (proposals === lookedThrough) return;
    lookedThrough = proposals;
    const isOwn = ({ author }) => author === me.id;
    const found = newCollisions(collided, proposals, isOwn);
    const [first] = found;
    if (!first) return;
    const mine = titleOf(first.proposal);
    const address = addressOf({ project: store.project, proposal: first.proposal });
    const end = ` now touch the same requirement, “${first.requirement}”.`;
    show(address, `“${mine}” and “${titleOf(first.other)}”${end}`, `collision ${first.proposal} ${first.other}`);
    if (!document.hidden && place().proposal === first.proposal) return; // It stands before them.
    const more = found.length - 1;
    say(
      [
        h("a", { href: address }, said(`“${mine}”`)),
        " and ",
        said(`“${titleOf(first.other)}”`),
        end,
        more > 0 && ` And ${count(more, "more collision")}.`,
      ],
      { tone: "warning" },
    );
  }

  function show(address, text, tag) {
    if (!document.hidden || !notifications.on) return;
    // The same tag in all tabs: they show it once.
    const shown = new Notification(store.project, { body: text, tag: `rtserver ${tag}` });
    shown.onclick = () => {
      window.focus();
      location.hash = address;
      shown.close();
    };
  }

  /** Only of what the reader has a part in: the others wait in the list. */
  function notify(event) {
    const { author, reviewers = [] } = store.state.proposals[event.proposal_id] ?? {};
    const starter = store.state.runs[event.run_id]?.started_by;
    const isInvolved = author === me.id || reviewers.includes(me.id) || starter === me.id;
    if (!isInvolved) return;
    const { who, did, then } = describe(event);
    const title = titleOf(event.proposal_id);
    const text = [who, did, `“${title}”`, then].filter(Boolean).join(" ");
    show(addressFor(event), text, event.id);
  }

  /** What happened while this page was closed, or was not told: from the stored events. */
  async function catchUp(position) {
    if (unread.checked === null) unread.reached(position);
    try {
      let more = unread.checked !== null;
      for (let pages = 0; more && pages < PAGES; pages += 1) {
        const page = await store.history(unread.checked);
        for (const event of page.events) unread.note(event);
        unread.reached(page.position);
        more = page.more;
      }
      if (more) unread.reached(position); // So much happened that its beginning is no news any more.
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      console.warn("news:", error.message); // It is tried again at the next reload.
    }
    caughtUp = true;
    store.changed();
  }

  return {
    heard,
    catchUp,
    /** The reader looks at the page; called often. */
    update() {
      const { position, proposals } = store.state;
      if (store.load.phase !== "ready") return;
      names.learn(store.state);
      tellCollisions();
      unread.keepOnly((id) => id in proposals, position);
      const { proposal, view } = place();
      if (proposal && !document.hidden) unread.look(proposal, SEEN_IN.get(view) ?? ["any"], position);
      const now = Date.now();
      if (!caughtUp || store.connection.partial || now - reachedAt < REACHED_MS) return;
      reachedAt = now;
      unread.reached(position);
    },
    stop: () => clearTimeout(timer),
  };
}

/** Whether the reader wants notifications of the browser, and may have them. */
export const notifications = {
  get can() {
    return "Notification" in window && window.isSecureContext;
  },
  get on() {
    return (
      this.can && Notification.permission === "granted" && localStorage.getItem(NOTIFY_KEY) === "on"
    );
  },
  /** @returns {Promise<"on" | "off" | "denied">} what it is afterwards */
  async toggle() {
    if (this.on) {
      localStorage.removeItem(NOTIFY_KEY);
      return "off";
    }
    if ((await Notification.requestPermission()) !== "granted") return "denied";
    localStorage.setItem(NOTIFY_KEY, "on");
    return "on";
  },
};
