/** The list of a project's proposals: found, narrowed and sorted, each with what it is doing. */
import { fill, h, keyedList, setText, show } from "../dom.js";
import { count, listOf, words } from "../format.js";
import { icon, spinner } from "../icons.js";
import { addressOf, CHOICE, projectsOf } from "../address.js";
import { chosen, EVERYTHING, SORTS, WHOSE } from "../list-filter.js";
import { describeRun, isLive } from "../words.js";
import { isActive, isOutdated, latestRun, latestVerdict } from "../../client/index.js";
import { collidesWith } from "../review/collisions.js";
import { avatar, peopleAt } from "./people.js";

const SHOWN_PEOPLE = 3;
const RUN_ICONS = { good: "check", bad: "cross", warning: "warning", quiet: "stop" };
const STATUSES = ["draft", "in_review", "approved", "rejected", "archived"];
const CHOICE_KEY = "rtserver.list ";

export function createProposalList({ store, actions, unread }) {
  const choice = { ...EVERYTHING, ...storedChoice(store.project) };
  const heading = h("h2.list-title", { id: "proposals-title" }, "Proposals");
  const total = h("span.list-count", { role: "status" });
  const list = h("ul.proposal-list");
  const skeleton = h(
    "div.skeleton-list",
    { "aria-hidden": "true" },
    [0, 1, 2, 3].map(() => h("div.skeleton-item", {}, h("span.bone"), h("span.bone.short"))),
  );
  const controls = createControls(choice, () => {
    sessionStorage.setItem(CHOICE_KEY + store.project, JSON.stringify(choice));
    update(selected);
  });
  const none = h(
    "p.list-none.muted",
    { hidden: true },
    "No proposal fits. ",
    h("button.quiet", { type: "button", onclick: controls.clear }, "Show all"),
  );
  const element = h(
    "nav.sidebar",
    { "aria-labelledby": "proposals-title" },
    h("div.list-top", {}, h("div.list-head", {}, heading, total), controls.element),
    skeleton,
    list,
    none,
    projectsOf(store.token)?.length !== 1 && h("a.list-switch", { href: CHOICE }, "Switch project"),
  );
  const drawList = keyedList(list, (item) => item.proposal.id, makeItem);
  const runsOf = lastRuns();
  let selected = null;
  /** What was brought into view: once, and then it is the reader's to scroll. */
  let inView = null;

  function shown() {
    const { proposals, order } = store.state;
    const all = order.map((id) => proposals[id]);
    // One that is being read stays, or it would go while it is looked at.
    const isUnread = (id) => id === selected || unread.count(id) > 0;
    return chosen(all, choice, { me: actions.me().id, isUnread });
  }

  function update(now) {
    selected = now;
    const { state, load } = store;
    show(skeleton, load.phase === "loading");
    const found = load.phase === "loading" ? [] : shown();
    const many = count(state.order.length, "proposal");
    const isNarrowed = found.length < state.order.length;
    setText(total, load.phase !== "ready" ? "" : isNarrowed ? `${found.length} of ${many}` : many);
    show(controls.element, state.order.length > 1);
    show(none, load.phase === "ready" && found.length === 0 && state.order.length > 0);
    const me = actions.me().id;
    const live = isLive(store.connection);
    drawList(
      found.map((proposal) => ({
        proposal,
        ...runsOf(state, proposal.id),
        live,
        news: unread.count(proposal.id),
        selected: proposal.id === selected,
        people: peopleAt(state.present, proposal.id, me),
        address: addressOf({ project: store.project, proposal: proposal.id }),
        collides: collidesWith(proposal, (id) => state.proposals[id]?.title || id),
      })),
    );
    if (selected !== inView && (selected === null || (found.length > 0 && element.checkVisibility()))) {
      const here = list.querySelector('[aria-current="page"]');
      here?.scrollIntoView({ block: "nearest" });
      inView = here || selected === null ? selected : inView;
    }
  }

  return { element, update, first: () => shown()[0]?.id ?? store.state.order[0] };
}

function storedChoice(project) {
  try {
    return JSON.parse(sessionStorage.getItem(CHOICE_KEY + project) ?? "{}");
  } catch {
    return {}; // Something else wrote it.
  }
}

/** @param {import("../list-filter.js").Choice} choice what is chosen; it is changed here */
function createControls(choice, changed) {
  const search = h("input.list-search", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search proposals",
    value: choice.search,
    maxLength: 200,
    dir: "auto",
    spellcheck: false,
    oninput: () => set("search", search.value),
  });
  const select = (name, label, options) =>
    h(
      "select.list-select",
      { "aria-label": label, onchange: (event) => set(name, event.target.value) },
      options.map(([value, text]) => h("option", { value, selected: value === choice[name] }, text)),
    );
  const selects = [
    select("status", "Status", [["", "Any status"], ...STATUSES.map((name) => [name, words(name)])]),
    select("whose", "Whose", WHOSE),
    select("sort", "Order", SORTS),
  ];
  function set(name, value) {
    choice[name] = value;
    changed();
  }
  return {
    element: h("div.list-controls", { role: "search" }, search, selects[2], selects.slice(0, 2)),
    clear() {
      Object.assign(choice, EVERYTHING, { sort: choice.sort });
      search.value = "";
      for (const one of selects.slice(0, 2)) one.value = "";
      changed();
      search.focus();
    },
  };
}

/** What stands beside a proposal: a run under way, else the verdict that stands, else the last run. */
function lastRuns() {
  let known = null;
  let groups = new Map();
  return (state, id) => {
    if (state.runs !== known) {
      known = state.runs;
      groups = Map.groupBy(Object.values(known), (run) => run.proposal_id);
    }
    const mine = { runs: groups.get(id) ?? [] };
    const latest = latestRun(mine, id);
    const run = isActive(latest) ? latest : (latestVerdict(mine, id) ?? latest);
    const isOld = !isActive(run) && run?.verdict != null;
    return { run, outdated: isOld && isOutdated(run, state.proposals[id]) };
  };
}

/** Beside a title, "Done" would not say what was. */
function labelOf(run, about, outdated) {
  const label = aboutKind(run, about);
  return outdated ? `${label}, outdated` : label;
}

function aboutKind(run, about) {
  if (run?.kind !== "iteration") return about.label;
  if (run.status === "running" && about.tone === "busy") return "Revising";
  if (run.status !== "complete") return `Revision: ${about.label.toLowerCase()}`;
  return run.verdict === "failed" ? "Revised, not valid" : "Revised";
}

function namesOf(people) {
  return (people ?? []).map(({ name }) => name).join("\n");
}

function drawPeople(element, people) {
  const names = people.map(({ name }) => name);
  const rest = names.length - SHOWN_PEOPLE;
  fill(
    element,
    names.length > 0 && h("span.visually-hidden", {}, `Looking at it: ${listOf(names)}`),
    names.slice(0, SHOWN_PEOPLE).map(avatar),
    rest > 0 && h("span.avatar.more", { "aria-hidden": "true", title: listOf(names) }, `+${rest}`),
  );
}

function makeItem() {
  const title = h("span.item-title", { dir: "auto" });
  const id = h("span.item-id", { dir: "ltr" });
  const status = h("span.badge");
  const runMark = h("span.item-run-mark");
  const runText = h("span");
  const run = h("span.item-run", {}, runMark, runText);
  const people = h("span.item-people");
  const news = h("span.item-news", { hidden: true });
  const collides = h("span.badge.collides", { hidden: true }, "Collides");
  const link = h("a.item", {}, title, id, h("span.item-foot", {}, news, status, collides, run, people));
  let drawn = {};
  return {
    element: h("li", {}, link),
    update(next) {
      if (
        drawn.proposal === next.proposal &&
        drawn.run?.status === next.run?.status &&
        drawn.run?.verdict === next.run?.verdict &&
        drawn.outdated === next.outdated &&
        drawn.news === next.news &&
        drawn.collides === next.collides &&
        drawn.selected === next.selected &&
        namesOf(drawn.people) === namesOf(next.people) &&
        drawn.live === next.live
      ) {
        return;
      }
      drawn = next;
      const { proposal } = next;
      link.href = next.address;
      if (next.selected) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      setText(title, proposal.title || proposal.id);
      setText(id, proposal.id);
      id.title = proposal.id;
      show(news, next.news > 0);
      setText(news, `${next.news} new`);
      setText(status, words(proposal.status));
      status.hidden = !proposal.status;
      show(collides, next.collides !== "");
      collides.title = `Touches the same requirement as ${next.collides}`;
      drawPeople(people, next.people);
      const about = describeRun(next.run, next.live);
      run.className = `item-run tone-${next.outdated ? "quiet" : about.tone}`;
      run.hidden = !next.run;
      setText(runText, labelOf(next.run, about, next.outdated));
      fill(runMark, about.tone === "busy" ? spinner() : icon(RUN_ICONS[about.tone] ?? "stop"));
    },
  };
}
