/**
 * Keeps the user's lock on the project for as long as a page of theirs is open: renews its lease
 * in time, and stops where the lock is released, taken away or lost.
 *
 * A lock belongs to its user, so every page of theirs renews it. It asks for renewals only, never
 * for the lock: what was given back in another window stays so.
 */
import { ApiError } from "../client/index.js";

/** Of the lease, after which it is renewed. */
const RENEW_AFTER = 1 / 3;
const RETRY_MS = 2_000;
/** Until somebody has signed in again. */
const SIGNED_OUT_MS = 20_000;

export class LockKeeper {
  #options;
  #held = null;
  #timer = null;
  #ended = null;
  /** Whether the server said that this lock is the user's no more. */
  #refused = false;
  #generation = 0;

  /**
   * @param {object} options
   * @param {string} options.me the user's id
   * @param {() => Promise<{lease_s: number}>} options.renew
   * @param {(ended: {why: "released" | "expired" | "taken" | "lost", by: string | null}) => void}
   *   options.onEnded told where the lock ended otherwise than by the user
   * @param {object} [options.env] {setTimeout, clearTimeout}
   */
  constructor(options) {
    const env = {
      setTimeout: (...args) => globalThis.setTimeout(...args),
      clearTimeout: (id) => globalThis.clearTimeout(id),
    };
    this.#options = { env, ...options };
  }

  /** Whether it keeps a lock. */
  get keeping() {
    return this.#held !== null;
  }

  /** A `lock_changed` that came: why a lock ended is in there alone. */
  heard(event) {
    if (!event.locked) this.#ended = event;
  }

  /** @param {{by: string | null} | null} lock the project's, as it is now */
  update(lock) {
    const { me, onEnded } = this.#options;
    if (lock?.by === me) {
      const known = this.#held;
      const isNew = known === null || (this.#refused && lock.at !== known.at);
      this.#held = lock;
      if (!isNew) return;
      this.#ended = null;
      this.#refused = false;
      void this.#renew(this.#generation);
      return;
    }
    if (this.#held === null) return;
    this.stop();
    if (lock) {
      onEnded({ why: "taken", by: lock.by });
    } else {
      const { cause, actor } = this.#ended ?? {};
      if (cause === "expired") onEnded({ why: "expired", by: null });
      else if (actor !== me) onEnded({ why: actor ? "released" : "lost", by: actor ?? null });
    }
  }

  /** Renew no more. The lock itself stays until it is released or its lease runs out. */
  stop() {
    this.#generation += 1;
    this.#held = null;
    this.#options.env.clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #renew(generation) {
    let nextMs = RETRY_MS;
    try {
      const { lease_s: leaseS } = await this.#options.renew();
      nextMs = leaseS * 1000 * RENEW_AFTER;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Refused for good: what the lock is now comes as an event, and with the next snapshot.
      if (error.status === 403 || error.status === 409) nextMs = null;
      else if (error.status === 401) nextMs = SIGNED_OUT_MS;
      else nextMs = Math.max(RETRY_MS, error.retryAfterMs);
    }
    if (generation !== this.#generation) return;
    this.#refused = nextMs === null;
    if (this.#refused) return;
    this.#timer = this.#options.env.setTimeout(() => void this.#renew(generation), nextMs);
  }
}
