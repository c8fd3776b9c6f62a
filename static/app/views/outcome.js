/** What came of a revision: the validator's verdict, and the files that it changed. */
import { fill, h, setText, show } from "../dom.js";
import { count, duration } from "../format.js";
import { icon } from "../icons.js";
import { describeRun } from "../words.js";
import { createDiffs } from "./diffs.js";
import { createFindings } from "./findings.js";
import { addressOf } from "../address.js";
import { findingPlaces } from "../review/finding-places.js";
import { mayRevise } from "../review/rights.js";

const VERDICT_ICONS = { good: "check", bad: "cross", quiet: "stop" };

/** @param {object} context {store, actions} */
export function createOutcome({ store, actions }) {
  const made = h("p.outcome-revision", { hidden: true });
  const verdict = h("p.verdict");
  const problem = h("p.run-problem.mild", { hidden: true });
  const findings = createFindings();
  const heading = h("h3");
  const diffs = createDiffs();
  const left = h("p.muted", { hidden: true });
  const element = h(
    "div.outcome",
    { hidden: true },
    made,
    verdict,
    problem,
    findings.element,
    heading,
    diffs.element,
    left,
  );
  let drawn = { run: null, made: "" };

  /** The revision that came of it: to be read, compared, and taken back. */
  function drawMade(run, proposal) {
    const { list } = store.texts.revisions(proposal);
    const at = list.findIndex(({ run_id: id }) => id === run.run_id);
    const revision = list[at];
    const before = list[at + 1];
    const canUndo = at === 0 && before && mayRevise(actions.me(), proposal);
    const key = JSON.stringify([revision?.number, before?.number, canUndo]);
    show(made, revision !== undefined);
    if (!revision || key === drawn.made) return;
    drawn.made = key;
    const place = { project: store.project, proposal: proposal.id, revision: at === 0 ? null : revision.number };
    const undo = h("button.small", { type: "button" }, `Put revision ${before?.number} back`);
    undo.addEventListener("click", () => void actions.restore(proposal.id, before.number));
    fill(
      made,
      h("strong", {}, `It is revision ${revision.number}. `),
      h("a", { href: addressOf({ ...place, view: "text" }) }, "Read it"),
      before && [
        " ",
        h("a", { href: addressOf({ ...place, view: "changes", against: before.number }) }, "See what it changed"),
      ],
      canUndo && [" ", undo],
    );
  }

  return {
    element,
    /** @param {object | null} run an iteration, complete or not */
    update(run, proposal) {
      const done = run?.status === "complete";
      show(element, done);
      if (!done) return;
      if (run !== drawn.run) drawn.made = "";
      drawMade(run, proposal);
      const places = findingPlaces(store, proposal, run);
      findings.update(run.validation, places.of, places.key);
      if (run === drawn.run) return;
      drawn.run = run;
      const changed = run.files_modified ?? [];
      const { validation } = run;
      show(verdict, Boolean(validation?.status));
      if (validation?.status) drawVerdict(verdict, validation);
      setText(problem, validation?.error ?? "");
      show(problem, Boolean(validation?.error));
      setText(heading, changed.length > 0 ? `${count(changed.length, "file")} changed` : "No file was changed");
      diffs.update(changed, run.diffs ?? []);
      const unseen = Object.keys(run.left_out ?? {});
      setText(left, `The model was not shown: ${unseen.join(", ")}.`);
      show(left, unseen.length > 0);
    },
  };
}

function drawVerdict(element, { status, duration_ms: took, exit_code: code }) {
  const { tone, label } = describeRun({ status });
  const facts = [];
  if (typeof took === "number") facts.push(duration(took));
  if (typeof code === "number") facts.push(`exit status ${code}`);
  element.className = `verdict tone-${tone}`;
  fill(
    element,
    h("span.verdict-mark", {}, icon(VERDICT_ICONS[tone] ?? "stop")),
    h("strong", {}, `Validation: ${label.toLowerCase()}`),
    h("span.facts", {}, facts.join(" · ")),
  );
}
