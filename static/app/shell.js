/** The signed-in page: puts the views together and keeps them in step with the store. */
import { replaceRoute, route } from "./address.js";
import { createActions } from "./actions.js";
import { fill, h, nextTask, setText } from "./dom.js";
import { wholeTimeOf } from "./format.js";
import { describeConnection, describeGap, describeResume, describeRun } from "./words.js";
import { Drafts } from "./drafts.js";
import { LockKeeper } from "./lock-keeper.js";
import { Names } from "./names.js";
import { createNews } from "./news.js";
import { Unread } from "./unread.js";
import { createConnectionBanner, createExpiryBanner, createGapBanner } from "./views/banner.js";
import { createDetail } from "./views/detail.js";
import { createLock, describeEndedLock } from "./views/lock.js";
import { createPeople } from "./views/people.js";
import { empty, failure, missing, skeleton, unchosen } from "./views/placeholders.js";
import { createProposalList } from "./views/proposals.js";
import { createToasts } from "./views/toasts.js";
import { createTopbar } from "./views/topbar.js";
import { latestRun } from "../client/index.js";

const TICK_MS = 500;
const wide = matchMedia("(min-width: 860px)");

/**
 * @param {object} options
 * @param {import("./store.js").ProjectStore} options.store
 * @param {() => void} options.onSignOut
 * @param {(message: string) => void} options.onSignIn ask for another token
 */
export function createShell({ store, onSignOut, onSignIn }) {
  const toasts = createToasts();
  const announcer = h("p.visually-hidden", { role: "status", "aria-live": "polite" });
  /** What was asked of the server and is not answered yet, by proposal. */
  const busy = new Map();
  const actions = createActions({ store, toasts, busy, onSignOut, onSignIn });
  const drafts = new Drafts({ user: actions.me().id, project: store.project });
  const me = actions.me();
  const names = new Names(me);
  const unread = new Unread({ user: me.id, project: store.project }, {}, () => store.changed());
  const context = { store, actions, drafts, names, unread, say: toasts.say };
  const lock = createLock(context);
  const people = createPeople(context);
  const topbar = createTopbar(context, people.element, lock.button);
  const banner = createConnectionBanner(context);
  const gapBanner = createGapBanner();
  const expiryBanner = createExpiryBanner(context);
  const list = createProposalList(context);
  const detail = createDetail(context);
  const main = h("main.main", { id: "main" });
  const layout = h("div.layout", {}, list.element, main);
  const element = h(
    "div.page",
    {},
    h("a.skip", { href: "#main", onclick: skipTo(main) }, "Skip to the proposal"),
    h("div.head", {}, topbar.element, banner.element),
    gapBanner.element,
    lock.element,
    expiryBanner.element,
    layout,
    toasts.element,
    announcer,
  );

  const news = createNews({ store, unread, names, me, say: toasts.say, place: route });
  const keeper = new LockKeeper({
    me: me.id,
    renew: () => store.api.renewLock(store.project),
    onEnded: (ended) => toasts.say(describeEndedLock({ ...ended, by: names.of(ended.by) }), { tone: "warning" }),
  });

  let selected = null;
  let mainShows = null;
  let isListDue = false;
  const spoken = { connection: "", runs: new Map() };

  function showInMain(key, ...children) {
    if (mainShows === key) return;
    mainShows = key;
    fill(main, ...children);
  }

  function drawMain(place) {
    if (store.load.phase === "failed") {
      showInMain("failed", failure(store, onSignIn));
    } else if (store.load.phase === "loading") {
      showInMain("loading", skeleton());
    } else if (store.state.order.length === 0) {
      showInMain("empty", empty(store.project));
    } else if (selected && store.state.proposals[selected]) {
      detail.update(selected, place, busy.get(selected));
      showInMain("detail", detail.element);
    } else if (selected) {
      showInMain(`missing ${selected}`, missing(selected, store.project));
    } else {
      showInMain("none", unchosen());
    }
  }

  /** On a narrow screen a proposal covers the list: it is drawn when there is time for it. */
  function drawList() {
    if (isListDue) return;
    isListDue = selected !== null && !wide.matches;
    const draw = () => {
      isListDue = false;
      list.update(selected); // Last, since it may ask where things are.
    };
    if (isListDue) void nextTask().then(draw);
    else draw();
  }

  function update() {
    const place = route();
    const ready = store.load.phase === "ready";
    if (!place.proposal && ready && wide.matches && store.state.order.length > 0) {
      // On a wide screen there is room for one beside the list, so show the first.
      replaceRoute({ project: store.project, proposal: list.first() });
      update();
      return;
    }
    if (place.proposal !== selected) {
      const moved = selected !== null;
      selected = place.proposal;
      store.focus(selected);
      mainShows = null;
      if (moved) main.scrollTop = 0; // Which makes the browser lay out all at once.
      if (moved && selected) queueMicrotask(() => detail.heading.focus({ preventScroll: true }));
    }
    const nothing = store.load.phase === "failed" || (ready && store.state.order.length === 0);
    layout.classList.toggle("has-selection", selected !== null || nothing);
    layout.classList.toggle("alone", nothing);
    news.update();
    topbar.update();
    banner.update();
    people.update();
    lock.update();
    if (ready) keeper.update(store.state.lock);
    expiryBanner.update();
    drawMain(place);
    drawList();
    const title = store.state.proposals[selected]?.title;
    const many = unread.total > 0 ? `(${unread.total}) ` : "";
    document.title = many + [title, store.project, "rtserver"].filter(Boolean).join(" · ");
    announce();
  }

  /** Say aloud what changed, once: the connection's state, and how the proposal's runs went. */
  function announce() {
    const { title, tone } = describeConnection(store.connection, Date.now());
    const words = tone === "busy" ? "" : title;
    if (words !== spoken.connection) {
      const first = spoken.connection === "";
      spoken.connection = words;
      if (!(first && tone === "good"))
        setText(announcer, words === "Live" ? "Connected again" : words);
    }
    const run = selected && latestRun(store.state, selected);
    const before = spoken.runs.get(selected);
    const now = run ? `${run.run_id} ${run.status}` : "";
    if (now === before) return;
    spoken.runs.set(selected, now);
    if (before === undefined || !run) return;
    const what = run.kind === "iteration" ? "Revision" : "Validation";
    setText(announcer, `${what}: ${describeRun(run).label}`);
  }

  function tell(kind, detailOf) {
    if (kind === "change") {
      update();
    } else if (kind === "resumed") {
      const words = describeResume(detailOf);
      if (words) toasts.say(words);
    } else if (kind === "lock") {
      keeper.heard(detailOf);
    } else if (kind === "event") {
      news.heard(detailOf);
    } else if (kind === "fetched") {
      void news.catchUp(detailOf);
    } else if (kind === "gap") {
      gapBanner.say(describeGap(detailOf));
    }
  }

  // Times are shown short; the rest of one is there for whoever points at it.
  element.addEventListener("pointerover", ({ target }) => {
    const time = target.closest?.("time[datetime]");
    if (time && time.title === "") time.title = wholeTimeOf(time.dateTime);
  });

  const stop = store.subscribe(tell);
  const tick = setInterval(() => {
    // Counts down and up; everything else is drawn when it changes.
    if (!document.hidden) update();
  }, TICK_MS);
  wide.addEventListener("change", update);
  const leaving = () => unread.flush();
  const otherTab = (event) => unread.heard(event);
  window.addEventListener("pagehide", leaving);
  window.addEventListener("storage", otherTab);

  return {
    element,
    update,
    destroy() {
      stop();
      clearInterval(tick);
      keeper.stop();
      people.destroy();
      detail.destroy();
      news.stop();
      leaving();
      window.removeEventListener("pagehide", leaving);
      window.removeEventListener("storage", otherTab);
      wide.removeEventListener("change", update);
    },
  };
}

function skipTo(main) {
  return (event) => {
    event.preventDefault(); // The fragment is the page's route.
    main.tabIndex = -1;
    main.focus();
  };
}
