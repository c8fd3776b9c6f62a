/**
 * Notices that the log went on by events that are not for this user. Ids are dense, so that a hole
 * between two of them says so, and no more: not what was said, by whom, or where.
 */
import { comparePositions, parsePosition } from "../client/index.js";

export class Withheld {
  #mark = null;
  /** How often that was seen. */
  count = 0;

  /** An event came. */
  event(id) {
    this.#reached(id, 1);
  }

  /** All up to here came, or is not for this user. */
  position(id) {
    this.#reached(id, 0);
  }

  #reached(id, own) {
    const order = comparePositions(id, this.#mark);
    const at = parsePosition(id);
    if (at === null || (order !== null && order <= 0)) return;
    if (order !== null && at.seq - parsePosition(this.#mark).seq > own) this.count += 1;
    this.#mark = id;
  }
}
