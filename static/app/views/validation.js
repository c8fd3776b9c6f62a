/** A validation of a proposal, the newest unless another is chosen: how it went, what was found and printed. */
import { fill, h, setText, show } from "../dom.js";
import { count, duration, elapsed, timeOf } from "../format.js";
import { icon, spinner } from "../icons.js";
import { createTerminal } from "../terminal.js";
import { describeRun, isLive } from "../words.js";
import { createFindings } from "./findings.js";
import { findingPlaces } from "../review/finding-places.js";
import { createHistory } from "../review/history.js";
import { isActive, isOutdated } from "../../client/index.js";

const STATUS_ICONS = { good: "check", bad: "cross", quiet: "stop" };

export function createValidation(context) {
  const { store, actions, names } = context;
  const history = createHistory(context, "validation", "checks");
  const mark = h("span.status-mark");
  const label = h("strong");
  const facts = h("span.facts");
  const found = h("button.tally", { type: "button", hidden: true });
  const status = h("div.run-status", {}, mark, h("p", {}, label, " ", facts), found);
  const old = h("p.run-outdated", { hidden: true });
  const problem = h("p.run-problem", { hidden: true });
  const findings = createFindings();
  const terminal = createTerminal({
    label: "Output of the validation",
    onEarlier: actions.loadEarlier,
  });
  const command = h("code.terminal-command");
  const wrap = h(
    "button.terminal-tool",
    { type: "button", "aria-pressed": "true", title: "Wrap long lines" },
    icon("wrap"),
    "Wrap",
  );
  const copyText = h("span", {}, "Copy");
  const copy = h(
    "button.terminal-tool",
    { type: "button", title: "Copy the output" },
    icon("copy"),
    copyText,
  );
  const element = h(
    "section.validation",
    { "aria-label": "Validation" },
    history.notice,
    status,
    old,
    problem,
    findings.element,
    h("div.terminal-box", {}, h("div.terminal-bar", {}, command, wrap, copy), terminal.element),
    history.element,
  );

  wrap.addEventListener("click", () => {
    const on = wrap.getAttribute("aria-pressed") !== "true";
    wrap.setAttribute("aria-pressed", String(on));
    terminal.setWrap(on);
  });
  found.addEventListener("click", () => findings.goTo());
  copy.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(terminal.text);
    } catch {
      done = false; // Not allowed here; the text can still be selected by hand.
    }
    setText(copyText, done ? "Copied" : "Not allowed");
    setTimeout(() => setText(copyText, "Copy"), 2_000);
  });

  let drawn = { run: undefined, tone: null, names: 0 };
  return {
    element,
    update(proposalId, place) {
      const proposal = store.state.proposals[proposalId];
      const run = history.update(proposal, place);
      const live = isLive(store.connection);
      const about = describeRun(run, live);
      if (about.tone !== drawn.tone) {
        status.className = `run-status tone-${about.tone}`;
        fill(
          mark,
          about.tone === "busy" ? spinner() : icon(run ? STATUS_ICONS[about.tone] : "play"),
        );
      }
      if (run !== drawn.run || names.version !== drawn.names || run?.status === "running") {
        setText(label, headline(run, about, names));
        setText(facts, factsOf(run, live, store.serverNow(), names));
      }
      if (run !== drawn.run) {
        const words = problemOf(run);
        show(problem, words !== "");
        problem.classList.toggle("mild", run?.status !== "error");
        setText(problem, words);
        setText(command, commandLine(run));
        show(copy, (run?.output.length ?? 0) > 0);
      }
      const isOld = Boolean(run?.revision) && !isActive(run) && isOutdated(run, proposal);
      show(old, isOld);
      setText(old, isOld ? `Outdated: this was revision ${run.revision.number}, and the text has changed since.` : "");
      const places = findingPlaces(store, proposal, run);
      findings.update(run?.summary, places.of, places.key);
      show(found, findings.tally !== "");
      setText(found, findings.tally);
      terminal.update(run, emptyWords(run, store));
      drawn = { run, tone: about.tone, names: names.version };
    },
  };
}

function headline(run, about, names) {
  if (!run) return "Not validated yet";
  if (run.status === "cancelled" && run.cancelled_by) return `Cancelled by ${names.of(run.cancelled_by)}`;
  return about.label;
}

function factsOf(run, live, nowMs, names) {
  if (!run) return "Start a validation to check this proposal.";
  const facts = [];
  const { summary } = run;
  if (run.status === "running") {
    const began = Date.parse(run.started_at);
    if (live && !Number.isNaN(began)) facts.push(elapsed(nowMs - began));
  } else if (typeof summary?.duration_ms === "number") {
    facts.push(duration(summary.duration_ms));
  }
  const lines = summary?.lines ?? run.last_n;
  if (lines > 0) facts.push(count(lines, "line"));
  if (typeof summary?.exit_code === "number") facts.push(`exit status ${summary.exit_code}`);
  if (run.started_by) facts.push(`started by ${names.of(run.started_by)}`);
  const at = timeOf(run.finished_at || run.started_at);
  if (at) facts.push(at);
  return facts.join(" · ");
}

function problemOf(run) {
  if (run?.status === "error") return run.error || "The validator did not say why.";
  if (run?.summary?.report_error)
    return `There is no list of findings: ${run.summary.report_error}.`;
  return "";
}

function commandLine(run) {
  const { command } = run ?? {};
  if (Array.isArray(command)) return command.join(" ");
  return command ?? "Output";
}

function emptyWords(run, store) {
  if (!run)
    return store.historyLoaded ? "What the validator prints will appear here, line by line." : "";
  if (run.status === "running") return "Waiting for the first line…";
  return "Nothing was printed.";
}
