/**
 * The server's time, as far as it is known here.
 *
 * A computer's own clock may be hours off and may be set while the page is open. So spans are
 * measured by a clock that only runs forward, and moments that the server speaks of (when a token
 * expires, when a run began) are compared with the server's time.
 */
import { momentMs } from "./tokens.js";

export class ServerClock {
  #env;
  /** What to add to the forward clock; null while the server has not said a time. */
  #offsetMs = null;

  /** @param {{now: () => number, monotonic: () => number}} env both in milliseconds */
  constructor(env) {
    this.#env = env;
  }

  /** Milliseconds since 1970; by this computer's clock until the server has said a time. */
  now() {
    return this.#offsetMs === null ? this.#env.now() : this.#env.monotonic() + this.#offsetMs;
  }

  /** The server says what time it is (`ts` of a `welcome`). */
  set(moment) {
    const ms = momentMs(moment);
    if (ms !== null) this.#offsetMs = ms - this.#env.monotonic();
  }

  /** It is that late at least: an event was stored then, or an answer has this `Date`. */
  atLeast(moment) {
    const ms = momentMs(moment);
    if (ms === null) return;
    this.#offsetMs = Math.max(this.#offsetMs ?? -Infinity, ms - this.#env.monotonic());
  }
}
