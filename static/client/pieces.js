/**
 * The numbered pieces of a run's output: lines of a validation, bits of an iteration's reply.
 *
 * A line that has not ended (`partial`: a prompt, a progress) comes again under its number, as it is by
 * then, and takes the place of what came before.
 *
 * A reply's bits may come joined, one frame for all from `first_n` to `n`, to whoever comes late or
 * resumes. Where such a frame begins before the end of what is known, only the rest of it is new.
 */

import { comparePositions } from "./positions.js";

/** A list that grows at its end, and shares what stays the same with the list it was made from. */
export const EMPTY_LOG = Object.freeze({ length: 0, chunks: Object.freeze([]) });
const CHUNK = 512;

export function appendTo(log, items) {
  if (items.length === 0) return log;
  const chunks = log.chunks.slice();
  let last = chunks.length > 0 && chunks.at(-1).length < CHUNK ? chunks.pop().slice() : [];
  for (const item of items) {
    if (last.length === CHUNK) {
      chunks.push(last);
      last = [];
    }
    last.push(item);
  }
  chunks.push(last);
  return { length: log.length + items.length, chunks };
}

/** The item at an index; undefined where there is none. Chunks but the last are full. */
export function itemAt(log, index) {
  return log.chunks[Math.floor(index / CHUNK)]?.[index % CHUNK];
}

function withItem(log, index, item) {
  const chunks = log.chunks.slice();
  const at = Math.floor(index / CHUNK);
  chunks[at] = chunks[at].slice();
  chunks[at][index % CHUNK] = item;
  return { length: log.length, chunks };
}

/** The items from `start` on, as an array. */
export function itemsOf(log, start = 0) {
  const first = Math.floor(start / CHUNK);
  return log.chunks
    .slice(first)
    .flat()
    .slice(start - first * CHUNK);
}

/**
 * @param {{output: object, last_n: number, missing: number, open: number[]}} run open: the indexes of
 *   its lines that have not ended
 * @param {object[]} events `output` or `token` of this run, in the order of the log
 * @returns {{output: object, last_n: number, missing: number, open: number[]}} the run's, with what
 *   is new
 */
export function withPieces(run, events) {
  const fresh = [];
  let { output, open, last_n: last, missing } = run;
  for (const event of events) {
    const n = event.n ?? last + 1;
    if (n <= last) {
      if (open.length === 0 || event.line === undefined) continue;
      output = appendTo(output, fresh.splice(0));
      ({ output, open } = withLine(output, open, event));
      continue;
    }
    if (event.partial) open = [...open, output.length + fresh.length];
    const first = event.first_n ?? n;
    const known = first > last ? 0 : lengthOf([output.chunks, [fresh]], first, last);
    if (known === null) {
      // The frame begins amid pieces that came joined: which part of it is new cannot be told.
      missing += n - last;
    } else {
      missing += Math.max(0, first - last - 1);
      fresh.push(itemFrom(event, Math.max(first, last + 1), n, known));
    }
    last = n;
  }
  return { output: appendTo(output, fresh), last_n: last, missing, open };
}

/** A line that came before, as it is now; the same where it is known to have ended, or is newer. */
function withLine(output, open, event) {
  const index = open.find((at) => itemAt(output, at).n === event.n);
  const known = index === undefined ? undefined : itemAt(output, index);
  const isNews = known && (!event.partial || comparePositions(event.id, known.id) > 0);
  if (!isNews) return { output, open };
  return {
    output: withItem(output, index, itemFrom(event, event.n, event.n, 0)),
    open: event.partial ? open : open.filter((at) => at !== index),
  };
}

/** As if the run had been followed from its beginning: what is stored, then what is known here. */
export function refilled(run, events) {
  const nothing = { output: EMPTY_LOG, last_n: 0, missing: 0, open: [] };
  const stored = withPieces(nothing, events);
  return withPieces(stored, itemsOf(run.output));
}

function itemFrom(event, first_n, n, known) {
  // A frame has words of the thought before the reply, or of the reply: never of both.
  if (event.reasoning) {
    return { n, first_n, content: "", reasoning: event.reasoning.slice(known) };
  }
  if (event.content !== undefined) return { n, first_n, content: event.content.slice(known) };
  const item = { n, stream: event.stream, line: event.line, truncated: event.truncated === true };
  return event.partial ? { ...item, partial: true, id: event.id } : item;
}

/** How long the text of the pieces `first` to `last` is; null where that cannot be told. */
function lengthOf(lists, first, last) {
  let expected = last;
  let length = 0;
  for (const items of lists.flat().reverse()) {
    for (let at = items.length - 1; at >= 0; at -= 1) {
      const item = items[at];
      const begins = item.first_n ?? item.n;
      if (item.n !== expected || begins < first) return null;
      length += (item.reasoning ?? item.content)?.length ?? 0;
      if (begins === first) return length;
      expected = begins - 1;
    }
  }
  return null;
}
