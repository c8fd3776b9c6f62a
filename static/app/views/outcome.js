/** What came of a revision: the validator's verdict, and the files that it changed. */
import { fill, h, setText, show } from "../dom.js";
import { count, duration } from "../format.js";
import { icon } from "../icons.js";
import { describeRun } from "../words.js";
import { createDiffs } from "./diffs.js";
import { createFindings } from "./findings.js";

const VERDICT_ICONS = { good: "check", bad: "cross", quiet: "stop" };

export function createOutcome() {
  const verdict = h("p.verdict");
  const problem = h("p.run-problem.mild", { hidden: true });
  const findings = createFindings();
  const heading = h("h3");
  const diffs = createDiffs();
  const left = h("p.muted", { hidden: true });
  const element = h(
    "div.outcome",
    { hidden: true },
    verdict,
    problem,
    findings.element,
    heading,
    diffs.element,
    left,
  );
  return {
    element,
    /** @param {object | null} run an iteration, complete or not */
    update(run) {
      const done = run?.status === "complete";
      show(element, done);
      if (!done) return;
      const changed = run.files_modified ?? [];
      const { validation } = run;
      show(verdict, Boolean(validation?.status));
      if (validation?.status) drawVerdict(verdict, validation);
      setText(problem, validation?.error ?? "");
      show(problem, Boolean(validation?.error));
      findings.update(validation);
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
