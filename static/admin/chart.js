/** How many records came in the last five minutes, by outcome, as stacked bars. */
import { h, setText } from "../app/dom.js";
import { momentMs } from "../client/tokens.js";

const BARS = 60;
const BAR_MS = 5_000;
const ORDER = ["allowed", "failed", "denied"];
const WIDTH = 600;
const HEIGHT = 56;
const SVG = "http://www.w3.org/2000/svg";

export function createChart() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const words = h("p.chart-words.muted");
  const legend = h(
    "p.legend",
    { "aria-hidden": "true" },
    ORDER.map((name) => h(`span.key.is-${name}`, {}, name)),
  );
  const element = h(
    "section.chart",
    { "aria-label": "Records over the last five minutes" },
    h("div.chart-head", {}, words, legend),
    svg,
  );
  const counts = new Map();

  function bar(slot) {
    return counts.get(slot) ?? { allowed: 0, failed: 0, denied: 0 };
  }

  function draw() {
    const now = Math.floor(Date.now() / BAR_MS);
    for (const slot of counts.keys()) if (slot <= now - BARS) counts.delete(slot);
    const bars = Array.from({ length: BARS }, (_, index) => bar(now - BARS + 1 + index));
    const total = (one) => ORDER.reduce((sum, name) => sum + one[name], 0);
    const most = Math.max(1, ...bars.map(total));
    const wide = WIDTH / BARS;
    const parts = bars.flatMap((one, index) => {
      let top = HEIGHT;
      return ORDER.filter((name) => one[name] > 0).map((name) => {
        const high = Math.max(1.5, (one[name] / most) * (HEIGHT - 2));
        top -= high;
        const rect = document.createElementNS(SVG, "rect");
        const box = { x: index * wide + 1, y: Math.max(0, top), width: wide - 2, height: high };
        for (const [key, value] of Object.entries(box)) rect.setAttribute(key, value.toFixed(2));
        rect.setAttribute("class", `is-${name}`);
        return rect;
      });
    });
    svg.replaceChildren(...parts);
    const sums = ORDER.map((name) => bars.reduce((sum, one) => sum + one[name], 0));
    const all = sums.reduce((sum, one) => sum + one, 0);
    setText(
      words,
      `${all.toLocaleString()} in the last 5 minutes: ${sums[0].toLocaleString()} allowed, ` +
        `${sums[2].toLocaleString()} denied, ${sums[1].toLocaleString()} failed`,
    );
  }

  const timer = setInterval(draw, 1_000);
  return {
    element,
    add(records) {
      for (const record of records) {
        const slot = Math.floor((momentMs(record.ts) ?? 0) / BAR_MS);
        const one = bar(slot);
        one[ORDER.includes(record.outcome) ? record.outcome : "failed"] += 1;
        counts.set(slot, one);
      }
      draw();
    },
    clear() {
      counts.clear();
      draw();
    },
    destroy: () => clearInterval(timer),
  };
}
