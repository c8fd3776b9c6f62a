/** Which revision somebody looked at last, for each proposal; kept in this browser. */

const PREFIX = "rtserver.looked ";
const MAX_KEPT = 500;

export class Seen {
  #storage;
  #scope;
  /** The proposal that is open, and what had been looked at before it was opened. */
  #visit = { id: null, number: null };

  /** @param {{user: string, project: string}} scope @param {Storage} [storage] */
  constructor({ user, project }, storage = localStorage) {
    this.#storage = storage;
    this.#scope = PREFIX + JSON.stringify([user, project]);
  }

  /**
   * What somebody looked at before they opened a proposal this time; it stays so until they leave it.
   *
   * @param {number} newest what counts as looked at where nothing is known
   */
  before(proposal, newest) {
    if (this.#visit.id !== proposal) {
      this.#visit = { id: proposal, number: this.#read()[proposal] ?? newest };
    }
    return Math.min(this.#visit.number, newest);
  }

  /** Another proposal is opened, or none: what came meanwhile has been looked at. */
  left() {
    this.#visit = { id: null, number: null };
  }

  set(proposal, number) {
    const all = this.#read();
    if (all[proposal] === number) return;
    delete all[proposal]; // So that it goes last.
    const kept = Object.entries(all).slice(1 - MAX_KEPT);
    try {
      this.#storage.setItem(
        this.#scope,
        JSON.stringify(Object.fromEntries([...kept, [proposal, number]])),
      );
    } catch {
      // There is no room, or none is allowed: then everything counts as looked at.
    }
  }

  #read() {
    try {
      const value = JSON.parse(this.#storage.getItem(this.#scope) ?? "{}");
      return value !== null && typeof value === "object" ? value : {};
    } catch {
      return {}; // Something else wrote it.
    }
  }
}
