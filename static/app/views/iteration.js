/** Have a proposal revised by a language model, and watch its reply as it is written. */
import { fill, h, setText, show } from "../dom.js";
import { count, elapsed, timeOf } from "../format.js";
import { icon, spinner } from "../icons.js";
import { describeRun, describeSending, isLive } from "../words.js";
import { draftField } from "../drafts.js";
import { createHistory } from "../review/history.js";
import { mayRevise } from "../review/rights.js";
import { isActive, itemsOf, latestRun } from "../../client/index.js";
import { createOutcome } from "./outcome.js";

const STATUS_ICONS = { good: "check", bad: "cross", warning: "warning", quiet: "stop" };
const NEAR_PX = 32;
const NO_MODEL =
  "This server has no language model, so nothing can be revised here. " +
  "Its operator has to set RT_LLM_BASE_URL and RT_LLM_MODEL.";
const ARCHIVED = "This proposal is archived, so its text stays as it is.";
const NOT_YOURS = "Its author, its reviewers and admins may have it revised.";
const HINT = "Files change only when the reply is complete, and then all at once.";
const DEMO =
  "No language model is set up on this server. A stand-in answers: it understands nothing and " +
  "makes up a plausible revision, so that you can see how it works.";

export function createIteration(context) {
  const { store, actions, drafts, names } = context;
  const history = createHistory(context, "iteration", "revise");
  const instruction = h("textarea", {
    id: "instruction",
    rows: 3,
    maxLength: 10_000,
    required: true,
    placeholder: "For example: add a scenario for a reader with two cards",
  });
  const start = h(
    "button.primary",
    { type: "submit", "aria-describedby": "revise-hint" },
    icon("play"),
    h("span", {}, "Revise"),
  );
  const hint = h("p.hint", { id: "revise-hint" }, HINT);
  const form = h(
    "form.iteration-form",
    {},
    h("label", { htmlFor: "instruction" }, "What should change?"),
    instruction,
    h("div.form-foot", {}, hint, start),
  );
  const note = h("p.model-note", { hidden: true });
  const mark = h("span.status-mark");
  const label = h("strong");
  const demo = h("span.badge.demo", { hidden: true }, "Demo");
  const facts = h("span.facts");
  const status = h(
    "div.run-status",
    { hidden: true },
    mark,
    h("p", {}, label, " ", demo, " ", facts),
  );
  const asked = h("blockquote.asked", { hidden: true });
  const problem = h("p.run-problem", { hidden: true });
  const outcome = createOutcome(context);
  const gap = h("p.muted", { hidden: true });
  const replyTitle = h("h3.reply-title", { hidden: true }, "The model’s reply");
  const reply = h("pre.reply", { tabIndex: 0, "aria-label": "The model's reply", hidden: true });
  const element = h(
    "section.iteration",
    { "aria-label": "Revision" },
    note,
    form,
    history.notice,
    status,
    asked,
    problem,
    outcome.element,
    replyTitle,
    gap,
    reply,
    history.element,
  );

  const draft = draftField(instruction, drafts, "instruction");
  let proposal = null;
  let drawn = null;
  let drawnTone = null;
  let namesDrawn = names.version;
  let written = { id: null, pieces: 0, missing: 0 };

  async function submit(event) {
    event?.preventDefault();
    const text = instruction.value.trim();
    if (text === "" || start.getAttribute("aria-disabled") === "true") return;
    const about = proposal;
    if (await actions.startIteration(about, text)) draft.sent(about, text);
  }
  form.addEventListener("submit", (event) => void submit(event));
  instruction.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void submit(event);
  });

  function write(run) {
    const id = run?.run_id ?? null;
    const missing = run?.missing ?? 0;
    if (id !== written.id || missing < written.missing) {
      reply.replaceChildren(); // Another run, or what was missing has been found.
      written = { id, pieces: 0, missing };
    }
    written.missing = missing;
    const length = run?.output.length ?? 0;
    show(reply, length > 0);
    show(replyTitle, length > 0);
    show(gap, missing > 0);
    setText(gap, `${count(missing, "piece is", "pieces are")} no longer stored, and missing here.`);
    if (length === written.pieces) return;
    const atEnd = reply.scrollHeight - reply.scrollTop - reply.clientHeight <= NEAR_PX;
    const fresh = itemsOf(run.output, written.pieces);
    writePieces(reply, fresh);
    written.pieces = length;
    if (atEnd) reply.scrollTop = reply.scrollHeight;
  }

  function drawModel(model, about) {
    const may = about !== undefined && mayRevise(actions.me(), about);
    const off = model === null || !may;
    const refused = about?.status === "archived" ? ARCHIVED : NOT_YOURS;
    const words = !may ? refused : model === null ? NO_MODEL : DEMO;
    show(note, off || model?.demo === true);
    show(form, !off);
    if (note.dataset.words === words) return;
    note.dataset.words = words;
    fill(note, h("span.badge.demo", {}, off ? "Off" : "Demo"), " ", words);
  }

  return {
    element,
    update(proposalId, place) {
      proposal = proposalId;
      draft.show(proposalId);
      const about = store.state.proposals[proposalId];
      drawModel(store.state.language_model, about);
      const run = history.update(about, place);
      const active = isActive(latestRun(store.state, proposalId, "iteration"));
      // Not `disabled`, which would throw the keyboard's focus away.
      start.setAttribute("aria-disabled", String(active));
      const unsent = describeSending(store.connection);
      hint.classList.toggle("warning", unsent !== "");
      setText(hint, unsent || HINT);
      write(run);
      outcome.update(run, about);
      if (run === drawn && names.version === namesDrawn && !active) return;
      namesDrawn = names.version;
      const live = isLive(store.connection);
      const state = describeRun(run, live);
      show(status, run !== null);
      status.className = `run-status tone-${state.tone}`;
      if (drawnTone !== state.tone) {
        drawnTone = state.tone;
        fill(mark, state.tone === "busy" ? spinner() : icon(STATUS_ICONS[state.tone] ?? "play"));
      }
      setText(label, run ? headline(run, state, live, names) : "");
      show(demo, run?.demo === true);
      setText(facts, run ? factsOf(run, store.serverNow(), names) : "");
      show(asked, Boolean(run?.instruction));
      setText(asked, run?.instruction ?? "");
      show(problem, run?.status === "error");
      setText(problem, run?.status === "error" ? (run.error ?? "It did not say why.") : "");
      drawn = run;
    },
  };
}

/** Add pieces of a reply. What the model thinks before it replies is shown, and shown as that. */
function writePieces(reply, pieces) {
  let at = 0;
  while (at < pieces.length) {
    const thinks = Boolean(pieces[at].reasoning);
    let words = "";
    for (; at < pieces.length && Boolean(pieces[at].reasoning) === thinks; at += 1) {
      words += thinks ? pieces[at].reasoning : (pieces[at].content ?? "");
    }
    const last = reply.lastElementChild;
    if (!thinks) reply.append(words);
    else if (last !== null && last === reply.lastChild) last.append(words);
    else reply.append(h("span.reasoning", { title: "What the model thought" }, words));
  }
}

function headline(run, about, live, names) {
  if (run.status === "running" && live) return run.output.length > 0 ? "Writing" : "Reading";
  if (run.status === "cancelled" && run.cancelled_by) return `Cancelled by ${names.of(run.cancelled_by)}`;
  return about.label;
}

function factsOf(run, nowMs, names) {
  const facts = [];
  const began = Date.parse(run.started_at);
  if (run.status === "running" && !Number.isNaN(began)) facts.push(elapsed(nowMs - began));
  if (run.place !== null) facts.push(`number ${run.place} in line`);
  if (run.model && !run.demo) facts.push(run.model);
  if (run.usage?.total_tokens) facts.push(count(run.usage.total_tokens, "token"));
  if (run.started_by) facts.push(`started by ${names.of(run.started_by)}`);
  const at = timeOf(run.finished_at || run.started_at);
  if (at) facts.push(at);
  return facts.join(" · ");
}
