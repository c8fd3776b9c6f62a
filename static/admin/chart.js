/**
 * How many records there were, by outcome, as stacked bars over time. The server counts those that are
 * stored; what comes while one watches is added here.
 */
import { fill, h, setText } from "../app/dom.js";
import { comparePositions } from "../client/positions.js";
import { momentMs } from "../client/tokens.js";

/** The span of a chart where the filter names none. */
const LAST_MS = 5 * 60_000;
const MOST_BARS = 60;
const SLOTS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800];
const ORDER = ["allowed", "failed", "denied"];
const WIDTH = 600;
const HEIGHT = 56;
const SVG = "http://www.w3.org/2000/svg";

/** The span that a filter asks for, and the length of a slot that makes it some sixty bars. */
export function spanOf(query, nowMs) {
  const untilMs = momentMs(query.get("until")) ?? null;
  const end = untilMs ?? nowMs;
  const sinceMs = momentMs(query.get("since")) ?? end - LAST_MS;
  const least = (end - sinceMs) / 1000 / MOST_BARS;
  const slotS = SLOTS_S.find((slot) => slot >= least) ?? SLOTS_S.at(-1);
  return { sinceMs, untilMs, slotS, moves: !query.get("since") && untilMs === null };
}

/**
 * @param {object} options
 * @param {(method: string, path: string) => Promise<object>} options.request
 * @param {(sinceMs: number, untilMs: number) => void} options.onSpan somebody wants a bar's records
 */
export function createChart({ request, onSpan }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const words = h("p.chart-words.muted", { role: "status" });
  const legend = h(
    "p.legend",
    { "aria-hidden": "true" },
    ORDER.map((name) => h(`span.key.is-${name}`, {}, name)),
  );
  const most = h("span.chart-most.muted", { "aria-hidden": "true" });
  const axis = h("p.chart-axis.muted", { "aria-hidden": "true" });
  const element = h(
    "section.chart",
    { "aria-label": "Records over time", title: "A click on a bar shows its records alone" },
    h("div.chart-head", {}, words, legend),
    most,
    svg,
    axis,
  );
  let span = spanOf(new URLSearchParams(), Date.now());
  let counts = new Map();
  /** Up to where the server has counted; null until it has. */
  let counted = null;
  let isComplete = true;
  let problem = "";
  let waiting = [];
  let asked = 0;

  const slotMs = () => span.slotS * 1000;

  function slots() {
    const end = span.untilMs === null ? Date.now() : span.untilMs - 1;
    const last = Math.floor(end / slotMs());
    const begin = span.moves ? end - LAST_MS + slotMs() : span.sinceMs;
    const first = Math.max(Math.floor(begin / slotMs()), last - 2 * MOST_BARS);
    return Array.from({ length: Math.max(1, last - first + 1) }, (_, at) => first + at);
  }

  function note(ms, outcome, many = 1) {
    const slot = Math.floor(ms / slotMs());
    const one = counts.get(slot) ?? { allowed: 0, failed: 0, denied: 0 };
    one[ORDER.includes(outcome) ? outcome : "failed"] += many;
    counts.set(slot, one);
  }

  function noteLater(record) {
    if ((comparePositions(record.id, counted) ?? 1) > 0) note(momentMs(record.ts) ?? 0, record.outcome);
  }

  function draw() {
    const shown = slots();
    if (span.moves) for (const slot of counts.keys()) if (slot < shown[0]) counts.delete(slot);
    const bars = shown.map((slot) => counts.get(slot) ?? { allowed: 0, failed: 0, denied: 0 });
    const total = (one) => ORDER.reduce((sum, name) => sum + one[name], 0);
    const top = Math.max(1, ...bars.map(total));
    const wide = WIDTH / bars.length;
    svg.replaceChildren(...bars.flatMap((one, at) => barOf(one, shown[at], at * wide, wide, top)));
    setText(most, `most in ${lengthOf(span.slotS)}: ${top.toLocaleString()}`);
    const [from, to] = [shown[0] * slotMs(), (shown.at(-1) + 1) * slotMs()];
    fill(
      axis,
      [from, (from + to) / 2, to].map((ms) => h("span", {}, momentOf(ms, to - from))),
    );
    const sums = ORDER.map((name) => bars.reduce((sum, one) => sum + one[name], 0));
    setText(words, problem || wordsOf(sums));
  }

  function wordsOf([allowed, failed, denied]) {
    if (counted === null) return "Counting…";
    const all = (allowed + failed + denied).toLocaleString();
    const when = span.moves ? "in the last 5 minutes" : "in this time";
    const most = isComplete ? "" : ", of the newest half million";
    return (
      `${all} ${when}${most}: ${allowed.toLocaleString()} allowed, ` +
      `${denied.toLocaleString()} denied, ${failed.toLocaleString()} failed`
    );
  }

  function barOf(one, slot, x, wide, top) {
    const title = document.createElementNS(SVG, "title");
    const parts = ORDER.filter((name) => one[name] > 0).map((name) => `${one[name]} ${name}`);
    title.textContent = `${momentOf(slot * slotMs(), 0)}: ${parts.join(", ") || "none"}`;
    // The whole height takes the click, or a low bar could hardly be hit.
    const area = rect({ x, y: 0, width: wide, height: HEIGHT }, "chart-area");
    area.append(title);
    area.addEventListener("click", () => onSpan(slot * slotMs(), (slot + 1) * slotMs()));
    let y = HEIGHT;
    const drawn = ORDER.filter((name) => one[name] > 0).map((name) => {
      const height = Math.max(1.5, (one[name] / top) * (HEIGHT - 2));
      y -= height;
      const gap = Math.min(1, wide / 8);
      return rect({ x: x + gap, y: Math.max(0, y), width: wide - 2 * gap, height }, `is-${name}`);
    });
    return [...drawn, area];
  }

  const timer = setInterval(draw, 1_000);
  return {
    element,
    /** Let the server count what a filter wants. */
    async load(query) {
      asked += 1;
      const mine = asked;
      span = spanOf(query, Date.now());
      counts = new Map();
      counted = null;
      problem = "";
      waiting = [];
      draw();
      const all = new URLSearchParams(query);
      all.set("since", new Date(span.sinceMs).toISOString());
      all.set("slot_s", String(span.slotS));
      try {
        const told = await request("GET", `/audit/counts?${all}`);
        if (mine !== asked) return;
        for (const { at, ...outcomes } of told.slots) {
          for (const name of ORDER) note(momentMs(at), name, outcomes[name]);
        }
        counted = told.position;
        isComplete = told.complete;
      } catch (error) {
        if (mine !== asked) return;
        problem = `The records could not be counted: ${error.message}.`;
      }
      waiting.forEach(noteLater);
      waiting = [];
      draw();
    },
    add(records) {
      if (counted === null) waiting.push(...records);
      else records.forEach(noteLater);
    },
    destroy: () => clearInterval(timer),
  };
}

function rect(box, className) {
  const element = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries(box)) element.setAttribute(key, value.toFixed(2));
  element.setAttribute("class", className);
  return element;
}

function lengthOf(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${seconds / 60} min`;
  return seconds < 86400 ? `${seconds / 3600} h` : `${seconds / 86400} d`;
}

/** A moment as an axis has it: the day too, where the axis is longer than one. */
function momentOf(ms, axisMs) {
  const isLong = axisMs > 86_400_000;
  const options = isLong
    ? { dateStyle: "medium", timeStyle: "short" }
    : { timeStyle: axisMs > 3_600_000 ? "short" : "medium" };
  return new Intl.DateTimeFormat("en-GB", options).format(new Date(ms));
}
