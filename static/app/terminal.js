/**
 * A panel that shows lines as a terminal would: colours, new lines at the end, and staying at the
 * end only for who is there already.
 *
 * Lines are added in batches, one for each animation frame, in blocks that the browser need not
 * lay out while they are out of sight.
 */
import { ansiReader, CUT, pieceElement, shownText } from "./ansi.js";
import { fill, h, setText, show } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { itemAt, itemsOf } from "../client/index.js";

const BLOCK_LINES = 100;
const LINES_PER_FRAME = 500;
/** How near to the end counts as being there, in pixels. */
const NEAR_PX = 32;

/**
 * @param {object} options
 * @param {string} options.label for those who hear the page
 * @param {(runId: string) => Promise<boolean>} options.onEarlier load lines that are missing;
 *   whether some were found
 */
export function createTerminal({ label, onEarlier }) {
  const screen = h("div.terminal-screen", {
    tabIndex: 0,
    role: "log",
    "aria-label": label,
    "aria-live": "off", // Thousands of lines read aloud help nobody; the outcome is announced.
  });
  const content = h("div.terminal-content");
  const noteText = h("span");
  const earlier = h("button.terminal-tool", { type: "button" }, "Load them");
  const note = h("p.terminal-note", { hidden: true }, noteText, " ", earlier);
  const empty = h("p.terminal-empty", { hidden: true });
  screen.append(note, empty, content);
  const jumpText = h("span");
  const jump = h("button.terminal-jump", { type: "button", hidden: true }, icon("down"), jumpText);
  const element = h("div.terminal", {}, screen, jump);

  let runId = null;
  let shown = 0;
  let seen = 0;
  let readers = new Map();
  /** Rows whose line has not ended: index to {item, element, style it begins in}. */
  const open = new Map();
  let block = null;
  let following = true;
  let frame = null;
  let output = null;
  let missing = 0;

  function reset(id) {
    runId = id;
    show(earlier, true);
    clear();
  }

  function clear() {
    shown = 0;
    seen = 0;
    readers = new Map();
    open.clear();
    block = null;
    following = true;
    content.replaceChildren();
    show(jump, false);
  }

  const nameOf = ({ stream }) => (stream === "stderr" ? "stderr" : "stdout");

  function readerOf(item) {
    const name = nameOf(item);
    if (!readers.has(name)) readers.set(name, ansiReader());
    return readers.get(name);
  }

  function lineElement(item, index) {
    const element = h(`div.line.${nameOf(item)}`, { dataset: { n: String(item.n) } });
    if (item.partial) open.set(index, { item, element, style: readerOf(item).style });
    write(element, item);
    return element;
  }

  function write(element, item) {
    const pieces = readerOf(item)(String(item.line ?? ""));
    fill(element, pieces.map(pieceElement), item.truncated && h("span.line-cut", {}, CUT));
  }

  /** A line that has not ended is drawn again as it changes; none of its stream follows it yet. */
  function redrawOpen() {
    for (const [index, row] of open) {
      const item = itemAt(output, index);
      if (item === row.item) continue;
      readerOf(item).style = row.style;
      write(row.element, item);
      if (item.partial) row.item = item;
      else open.delete(index);
    }
  }

  function addLines() {
    frame = null;
    redrawOpen();
    const fresh = itemsOf(output, shown).slice(0, LINES_PER_FRAME);
    const fragment = document.createDocumentFragment();
    let target = block;
    for (const item of fresh) {
      if (!target || target.childElementCount >= BLOCK_LINES) {
        target = h("div.block");
        fragment.append(target);
      }
      target.append(lineElement(item, shown));
      shown += 1;
    }
    block = target;
    content.append(fragment);
    if (following) toEnd();
    else sayNew();
    if (shown < output.length) frame = requestAnimationFrame(addLines);
  }

  function toEnd() {
    screen.scrollTop = screen.scrollHeight;
    seen = shown;
    show(jump, false);
  }

  function sayNew() {
    const fresh = shown - seen;
    setText(jumpText, fresh > 0 ? `${count(fresh, "new line")} below` : "Jump to the end");
    show(jump, true);
  }

  screen.addEventListener("scroll", () => {
    const left = screen.scrollHeight - screen.scrollTop - screen.clientHeight;
    following = left <= NEAR_PX;
    if (following) {
      seen = shown;
      show(jump, false);
    } else if (shown > 0) {
      sayNew();
    }
  });
  jump.addEventListener("click", () => {
    following = true;
    toEnd();
    screen.focus({ preventScroll: true });
  });
  earlier.addEventListener("click", async () => {
    earlier.disabled = true;
    const found = await onEarlier(runId);
    earlier.disabled = false;
    show(earlier, found);
  });
  // Blocks that come into sight may turn out taller than was guessed.
  new ResizeObserver(() => following && toEnd()).observe(content);

  return {
    element,
    /**
     * @param {object | null} run a validation's state, or null for an empty screen
     * @param {string} whenEmpty what to show while there are no lines
     */
    update(run, whenEmpty = "") {
      const id = run?.run_id ?? null;
      if (id !== runId) reset(id);
      setText(empty, whenEmpty);
      show(empty, whenEmpty !== "" && (run?.output.length ?? 0) === 0);
      output = run?.output ?? { length: 0, chunks: [] };
      if ((run?.missing ?? 0) < missing) clear(); // Earlier lines were found: draw all again.
      missing = run?.missing ?? 0;
      show(note, missing > 0);
      if (missing > 0) setText(noteText, `${count(missing, "line is", "lines are")} missing here.`);
      const changed = [...open].some(([index, { item }]) => itemAt(output, index) !== item);
      if ((shown < output.length || changed) && frame === null) {
        frame = requestAnimationFrame(addLines);
      }
    },
    setWrap(on) {
      screen.classList.toggle("no-wrap", !on);
    },
    get text() {
      return output ? shownText(itemsOf(output)) : "";
    },
  };
}
