/**
 * Positions in a project's event log, and the window that lets each event through once.
 *
 * A position is `EPOCH-SEQ`: SEQ counts a project's events 1, 2, 3, ... without holes, EPOCH names
 * the life of the log. Positions of one epoch can be compared; across epochs they cannot.
 */

/**
 * @param {unknown} id
 * @returns {{epoch: string, seq: number} | null} null for anything that is not a position
 */
export function parsePosition(id) {
  if (typeof id !== "string") return null;
  const cut = id.lastIndexOf("-");
  if (cut < 1) return null;
  const digits = id.slice(cut + 1);
  if (!/^\d{1,15}$/.test(digits)) return null;
  return { epoch: id.slice(0, cut), seq: Number(digits) };
}

/** @returns {string} the id of the event `seq` in `epoch` */
export function formatPosition({ epoch, seq }) {
  return `${epoch}-${seq}`;
}

/**
 * The position `count` events before `id`, never before the log's beginning.
 *
 * Sequence numbers are dense, so this is exact; events that far back may no longer be stored.
 */
export function before(id, count) {
  const position = parsePosition(id);
  if (!position) return null;
  return formatPosition({ epoch: position.epoch, seq: Math.max(0, position.seq - count) });
}

/** The position `count` events after `id`; null where `id` is none. */
export function after(id, count) {
  const position = parsePosition(id);
  return position && formatPosition({ epoch: position.epoch, seq: position.seq + count });
}

/**
 * @returns {number | null} negative, zero or positive as `a` is before, at or after `b`; null where
 *   they belong to different lives of the log, or one of them is no position
 */
export function comparePositions(a, b) {
  const left = parsePosition(a);
  const right = parsePosition(b);
  if (!left || !right || left.epoch !== right.epoch) return null;
  return left.seq - right.seq;
}

/** The earlier of two positions; where they cannot be compared, `a`. A null counts as absent. */
export function earlier(a, b) {
  if (!a || !b) return a || b || null;
  const order = comparePositions(a, b);
  return order !== null && order > 0 ? b : a;
}

/**
 * Lets each stored event through once, whatever transport or tab it came by.
 *
 * `position` is the low-water mark: everything up to it was delivered, so it is what a reconnect
 * resumes from. Where several streams are read side by side (one for each proposal over SSE), the
 * events above the mark that were already delivered are remembered until the mark passes them.
 */
export class DeliveryWindow {
  #ahead = new Set();
  #limit;

  /**
   * @param {string | null} position
   * @param {number} limit how many delivered events above the mark are remembered at most; past
   *   it the oldest are forgotten, and would come through twice after a resume
   */
  constructor(position = null, limit = 20_000) {
    this.position = position;
    this.#limit = limit;
  }

  /**
   * @param {string} id of a stored event
   * @param {string | null} [lowWater] the mark after this event; the event's own id unless given
   * @returns {boolean} whether it is new
   */
  accept(id, lowWater = id) {
    const event = parsePosition(id);
    if (!event) return true;
    const mark = parsePosition(this.position);
    let fresh = true;
    if (mark && mark.epoch === event.epoch) {
      fresh = event.seq > mark.seq && !this.#ahead.has(event.seq);
    } else {
      this.#ahead.clear();
    }
    if (fresh && lowWater !== id) this.#remember(event.seq);
    if (lowWater) this.advance(lowWater);
    return fresh;
  }

  /** Move the mark forward to `id`; backwards only where the log began a new life. */
  advance(id) {
    const order = comparePositions(id, this.position);
    if (order !== null && order <= 0) return;
    const next = parsePosition(id);
    if (!next) return;
    const mark = parsePosition(this.position);
    if (mark && mark.epoch !== next.epoch) this.#ahead.clear();
    this.position = id;
    if (this.#ahead.size === 0) return;
    for (const seq of this.#ahead) if (seq <= next.seq) this.#ahead.delete(seq);
  }

  /** Put the mark back, so that what came after `id` is let through again. */
  rewind(id) {
    this.position = id;
    this.#ahead.clear();
  }

  #remember(seq) {
    this.#ahead.add(seq);
    if (this.#ahead.size > this.#limit) this.#ahead.delete(this.#ahead.values().next().value);
  }
}
