/** The list of a project's proposals, each with its status and what it is doing. */
import { fill, h, keyedList, setText } from "../dom.js";
import { count, listOf, words } from "../format.js";
import { icon, spinner } from "../icons.js";
import { addressOf } from "../address.js";
import { describeRun, isLive } from "../words.js";
import { latestRun } from "../../client/index.js";
import { avatar, peopleAt } from "./people.js";

const SHOWN_PEOPLE = 3;
const RUN_ICONS = { good: "check", bad: "cross", warning: "warning", quiet: "stop" };

export function createProposalList({ store, actions }) {
  const heading = h("h2.list-title", { id: "proposals-title" }, "Proposals");
  const total = h("span.list-count");
  const list = h("ul.proposal-list");
  const skeleton = h(
    "div.skeleton-list",
    { "aria-hidden": "true" },
    [0, 1, 2, 3].map(() => h("div.skeleton-item", {}, h("span.bone"), h("span.bone.short"))),
  );
  const element = h(
    "nav.sidebar",
    { "aria-labelledby": "proposals-title" },
    h("div.list-head", {}, heading, total),
    skeleton,
    list,
  );
  const drawList = keyedList(list, (item) => item.proposal.id, makeItem);

  return {
    element,
    update(selected) {
      const { state, load } = store;
      const loading = load.phase === "loading";
      skeleton.hidden = !loading;
      setText(total, load.phase === "ready" ? count(state.order.length, "proposal") : "");
      const me = actions.me().id;
      drawList(
        state.order.map((id) => ({
          proposal: state.proposals[id],
          run: latestRun(state, id),
          live: isLive(store.connection),
          selected: id === selected,
          people: peopleAt(state.present, id, me),
          address: addressOf({ project: store.project, proposal: id }),
        })),
      );
    },
  };
}

/** Beside a title, "Done" would not say what was. */
function labelOf(run, about) {
  if (run?.kind !== "iteration") return about.label;
  if (run.status === "running" && about.tone === "busy") return "Revising";
  if (run.status !== "complete") return `Revision: ${about.label.toLowerCase()}`;
  return about.tone === "good" ? "Revised" : "Revised, not valid";
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
  const title = h("span.item-title");
  const id = h("span.item-id");
  const status = h("span.badge");
  const runMark = h("span.item-run-mark");
  const runText = h("span");
  const run = h("span.item-run", {}, runMark, runText);
  const people = h("span.item-people");
  const link = h("a.item", {}, title, id, h("span.item-foot", {}, status, run, people));
  let drawn = {};
  return {
    element: h("li", {}, link),
    update(next) {
      if (
        drawn.proposal === next.proposal &&
        drawn.run?.status === next.run?.status &&
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
      setText(status, words(proposal.status));
      status.hidden = !proposal.status;
      drawPeople(people, next.people);
      const about = describeRun(next.run, next.live);
      run.className = `item-run tone-${about.tone}`;
      run.hidden = !next.run;
      setText(runText, labelOf(next.run, about));
      fill(runMark, about.tone === "busy" ? spinner() : icon(RUN_ICONS[about.tone] ?? "stop"));
    },
  };
}
