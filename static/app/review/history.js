/** The validations or iterations of a proposal, and which of them is shown. */
import { addressOf } from "../address.js";
import { fill, h, setText, show } from "../dom.js";
import { timeOf } from "../format.js";
import { icon, spinner } from "../icons.js";
import { describeFailure, describeRun } from "../words.js";
import { latestRun } from "../../client/index.js";

const ICONS = { good: "check", bad: "cross", warning: "warning", quiet: "stop" };
const NAMES = {
  validation: ["All validations", "the newest validation"],
  iteration: ["All iterations", "the newest iteration"],
};
const SHOWN = 15;

/**
 * @param {object} context {store, actions, names, runs}
 * @param {"validation" | "iteration"} kind
 * @param {string} view in which it stands
 */
export function createHistory({ store, actions, names, runs }, kind, view) {
  const [name, newestName] = NAMES[kind];
  const notice = h("div.text-notice", { hidden: true, role: "status" });
  const list = h("ol.run-list");
  const more = h("button.small", { type: "button", hidden: true }, "Show earlier ones");
  const problem = h("p.field-error", { hidden: true });
  const element = h("section.run-history", { "aria-label": name, hidden: true }, h("h3", {}, name), problem, list, more);
  let open = { id: null, shown: SHOWN };
  let drawn = "";
  let said = "";

  more.addEventListener("click", async () => {
    open.shown += SHOWN;
    await actions.attempt(async () => runs.more());
    store.changed();
  });

  function say(key, ...words) {
    show(notice, words.length > 0);
    if (key === said) return;
    said = key;
    fill(notice, words.length > 0 && icon("info"), h("p", {}, words));
  }

  function chosen(proposal, place) {
    const latest = latestRun(store.state, proposal.id, kind);
    if (place.run === null || place.run === latest?.run_id) {
      say("");
      return latest;
    }
    const back = h("a", { href: addressOf({ project: store.project, proposal: proposal.id, view }) }, `Show ${newestName}`);
    const { phase, value, error } = runs.one(place.run);
    if (value && value.kind === kind && value.proposal_id === proposal.id) {
      say(`earlier ${value.run_id}`, `You are looking at one of ${timeOf(value.started_at)}. `, back);
      return value;
    }
    const words = phase === "failed" ? describeFailure(error) : phase === "loading" ? "Loading…" : "There is no such run here.";
    say(`${place.run} ${words}`, words, " ", back);
    return phase === "loading" ? null : latest;
  }

  return {
    element,
    notice,
    /** Draw the list. @returns {object | null} the run to show */
    update(proposal, place) {
      if (open.id !== proposal.id) open = { id: proposal.id, shown: SHOWN };
      const run = chosen(proposal, place);
      const known = runs.list(proposal);
      const mine = known.runs.filter((each) => each.kind === kind);
      const shown = mine.slice(0, open.shown);
      show(element, mine.length > 1 || known.error !== null);
      show(problem, known.error !== null);
      setText(problem, known.error ? describeFailure(known.error) : "");
      show(more, mine.length > shown.length || known.next !== null);
      const newest = proposal.revision?.digest;
      const key = JSON.stringify([shown, run?.run_id, newest]);
      if (key === drawn) return run;
      drawn = key;
      fill(list, shown.map((each) => row(each, run, newest)));
      return run;
    },
  };

  function row(each, current, newest) {
    const ended = { ...each, status: each.state === "completed" ? "complete" : each.state };
    const { tone, label } = describeRun({ ...ended, validation: { status: each.verdict } });
    const place = { project: store.project, proposal: each.proposal_id, view, run: each.run_id };
    return h(
      "li",
      {},
      h(
        "a.run-row",
        {
          class: `tone-${tone}`,
          href: addressOf(place),
          "aria-current": each.run_id === current?.run_id ? "true" : null,
        },
        h("span.run-row-mark", {}, tone === "busy" ? spinner() : icon(ICONS[tone] ?? "stop")),
        h("strong", {}, label),
        each.revision && h("span", {}, `revision ${each.revision.number}`),
        each.revision && each.revision.digest !== newest && h("span.badge.outdated", {}, "Outdated"),
        h("span.muted", {}, `${names.of(each.started_by)}, ${timeOf(each.ended_at ?? each.started_at)}`),
      ),
    );
  }
}
