/** Have a proposal revised by a language model, and watch its reply as it is written. */
import { fill, h, setText, show } from "../dom.js";
import { count, elapsed, timeOf } from "../format.js";
import { icon, spinner } from "../icons.js";
import { describeRun, isLive } from "../words.js";
import { itemsOf, latestRun } from "../../client/index.js";

const STATUS_ICONS = { good: "check", bad: "cross", quiet: "stop" };
const NEAR_PX = 32;

export function createIteration({ store, actions }) {
  const instruction = h("textarea", {
    id: "instruction",
    rows: 3,
    maxLength: 4000,
    required: true,
    placeholder: "For example: add a scenario for a reader with two cards",
  });
  const start = h("button.primary", { type: "submit" }, icon("play"), h("span", {}, "Revise"));
  const form = h(
    "form.iteration-form",
    {},
    h("label", { htmlFor: "instruction" }, "What should change?"),
    instruction,
    h(
      "div.form-foot",
      {},
      h("p.hint", {}, "The reply replaces files of this proposal only when it is complete."),
      start,
    ),
  );
  const mark = h("span.status-mark");
  const label = h("strong");
  const facts = h("span.facts");
  const status = h("div.run-status", { hidden: true }, mark, h("p", {}, label, " ", facts));
  const problem = h("p.run-problem", { hidden: true });
  const files = h("ul.files");
  const outcome = h("div.outcome", { hidden: true });
  const reply = h("pre.reply", { tabIndex: 0, "aria-label": "The model's reply", hidden: true });
  const element = h(
    "section.iteration",
    { "aria-label": "Revision" },
    form,
    status,
    problem,
    outcome,
    reply,
  );

  let proposal = null;
  let drawn = null;
  let drawnTone = null;
  let written = { id: null, pieces: 0 };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = instruction.value.trim();
    if (text === "") return;
    if (await actions.startIteration(proposal, text)) instruction.value = "";
  });

  function write(run) {
    const id = run?.run_id ?? null;
    if (id !== written.id) {
      reply.replaceChildren();
      written = { id, pieces: 0 };
    }
    const length = run?.output.length ?? 0;
    show(reply, length > 0);
    if (length === written.pieces) return;
    const atEnd = reply.scrollHeight - reply.scrollTop - reply.clientHeight <= NEAR_PX;
    const fresh = itemsOf(run.output, written.pieces);
    reply.append(fresh.map((item) => item.content ?? "").join(""));
    written.pieces = length;
    if (atEnd) reply.scrollTop = reply.scrollHeight;
  }

  return {
    element,
    update(proposalId) {
      proposal = proposalId;
      const run = latestRun(store.state, proposalId, "iteration");
      const running = run?.status === "running";
      start.disabled = running;
      write(run);
      if (run === drawn && !running) return;
      const live = isLive(store.connection);
      const about = describeRun(run, live);
      show(status, run !== null);
      status.className = `run-status tone-${about.tone}`;
      if (drawnTone !== about.tone) {
        drawnTone = about.tone;
        fill(mark, about.tone === "busy" ? spinner() : icon(STATUS_ICONS[about.tone] ?? "play"));
      }
      setText(label, running && live ? "Writing" : about.label);
      setText(facts, run ? factsOf(run) : "");
      show(problem, run?.status === "error");
      setText(problem, run?.status === "error" ? (run.error ?? "It did not say why.") : "");
      if (run !== drawn) drawOutcome(outcome, files, run);
      drawn = run;
    },
  };
}

function factsOf(run) {
  const facts = [];
  const began = Date.parse(run.started_at);
  if (run.status === "running" && !Number.isNaN(began)) facts.push(elapsed(Date.now() - began));
  if (run.model) facts.push(run.model);
  if (run.started_by) facts.push(`started by ${run.started_by}`);
  const at = timeOf(run.finished_at || run.started_at);
  if (at) facts.push(at);
  return facts.join(" · ");
}

function drawOutcome(outcome, files, run) {
  const done = run?.status === "complete";
  show(outcome, done);
  if (!done) return;
  const changed = run.files_modified ?? [];
  const verdict = run.validation?.status;
  fill(
    files,
    changed.map((path) => h("li", {}, icon("file"), h("code", {}, String(path)))),
  );
  fill(
    outcome,
    h("h3", {}, changed.length > 0 ? "Files written" : "No file was changed"),
    files,
    verdict &&
      h(
        "p.muted",
        {},
        `Validated afterwards: ${describeRun({ status: verdict }).label.toLowerCase()}.`,
      ),
    run.instruction && h("p.muted", {}, `Asked: “${run.instruction}”`),
    run.usage?.total_tokens && h("p.muted", {}, `${count(run.usage.total_tokens, "token")} used.`),
  );
}
