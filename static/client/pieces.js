/**
 * The numbered pieces of a run's output: lines of a validation, bits of an iteration's reply.
 *
 * A reply's bits may come joined, one frame for all from `first_n` to `n`, to whoever comes late or
 * resumes. Where such a frame begins before the end of what is known, only the rest of it is new.
 */

/** An append-only list that shares all but its last chunk with the list it was made from. */
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

/** The items from `start` on, as an array. */
export function itemsOf(log, start = 0) {
  const first = Math.floor(start / CHUNK);
  return log.chunks
    .slice(first)
    .flat()
    .slice(start - first * CHUNK);
}

/**
 * @param {{output: object, last_n: number, missing: number}} run
 * @param {object[]} events `output` or `token` of this run, in the order of the log
 * @returns {{output: object, last_n: number, missing: number}} the run's, with what is new
 */
export function withPieces(run, events) {
  const fresh = [];
  let { last_n: last, missing } = run;
  for (const event of events) {
    const n = event.n ?? last + 1;
    if (n <= last) continue;
    const first = event.first_n ?? n;
    const known = first > last ? 0 : lengthOf([run.output.chunks, [fresh]], first, last);
    if (known === null) {
      // The frame begins amid pieces that came joined: which part of it is new cannot be told.
      missing += n - last;
    } else {
      missing += Math.max(0, first - last - 1);
      fresh.push(itemFrom(event, Math.max(first, last + 1), n, known));
    }
    last = n;
  }
  return { output: appendTo(run.output, fresh), last_n: last, missing };
}

/** As if the run had been followed from its beginning: what is stored, then what is known here. */
export function refilled(run, events) {
  const stored = withPieces({ output: EMPTY_LOG, last_n: 0, missing: 0 }, events);
  return withPieces(stored, itemsOf(run.output));
}

function itemFrom(event, first_n, n, known) {
  // A frame has words of the thought before the reply, or of the reply: never of both.
  if (event.reasoning) {
    return { n, first_n, content: "", reasoning: event.reasoning.slice(known) };
  }
  if (event.content !== undefined) return { n, first_n, content: event.content.slice(known) };
  return { n, stream: event.stream, line: event.line, truncated: event.truncated === true };
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
