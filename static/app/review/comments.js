/** Keeps the comments of the proposal that is open, and the places that they are about, up to date. */
import { ApiError } from "../../client/index.js";

export class Comments {
  #store;
  #asked = "";
  /** Why they could not be had; null where they could. */
  error = null;
  loaded = false;

  /** @param {import("../store.js").ProjectStore} store */
  constructor(store) {
    this.#store = store;
  }

  /** Fetch them where they are not here, or say nothing of where their places are now. */
  update(proposal) {
    // An event has a comment, but not where in the newest text its place is.
    const unplaced = (proposal.comments ?? []).some(
      ({ anchor, outdated }) => anchor && outdated === undefined,
    );
    const key = JSON.stringify([proposal.id, proposal.created_at, proposal.revision?.number, unplaced]);
    if (key === this.#asked) return;
    if (!this.#asked.startsWith(JSON.stringify([proposal.id]).slice(0, -1))) this.loaded = false;
    this.#asked = key;
    void this.#load(proposal.id, key);
  }

  async #load(id, key) {
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
