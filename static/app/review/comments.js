/** Keeps the comments of the proposal that is open, and the places that they are about, up to date. */
import { ApiError } from "../../client/index.js";

/** Readers who are told nothing ask within this time, and not all at once. */
const ASK_MS = 1_000;

export class Comments {
  #store;
  #asked = "";
  /** What the store had counted as withheld when they were asked for. */
  #withheld = 0;
  #waiting = false;
  /** Why they could not be had; null where they could. */
  error = null;
  loaded = false;

  /** @param {import("../store.js").ProjectStore} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * Fetch them where they are not here, or say nothing of where their places are now.
   *
   * @param {boolean} isTold whether events tell this user of each; others may read them as well, and ask
   *   whenever something was stored that they are not told
   */
  update(proposal, isTold) {
    // An event has a comment, but not where in the newest text its place is.
    const unplaced = (proposal.comments ?? []).some(
      ({ anchor, outdated }) => anchor && outdated === undefined,
    );
    const key = JSON.stringify([proposal.id, proposal.created_at, proposal.revision?.number, unplaced]);
    if (key === this.#asked) {
      if (!isTold && this.#store.withheld !== this.#withheld) this.#askSoon(proposal.id, key);
      return;
    }
    if (!this.#asked.startsWith(JSON.stringify([proposal.id]).slice(0, -1))) this.loaded = false;
    this.#asked = key;
    void this.#load(proposal.id, key);
  }

  #askSoon(id, key) {
    if (this.#waiting) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (this.#asked === key) void this.#load(id, key);
    }, Math.random() * ASK_MS);
  }

  async #load(id, key) {
    this.#withheld = this.#store.withheld;
    try {
      await this.#store.loadComments(id);
      if (this.#asked === key) {
        this.error = null;
        this.loaded = true;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#asked === key) this.error = error;
    }
    this.#store.changed();
  }

  /** Ask again, after a failure or where an event may have been missed. */
  again() {
    this.#asked = "";
    this.#store.changed();
  }
}
