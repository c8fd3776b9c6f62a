/** Which revision somebody looked at last, for each proposal; kept in this browser. */

const PREFIX = "rtserver.looked ";
const MAX_KEPT = 500;

export class Seen {
  #storage;
  #scope;

  /** @param {{user: string, project: string}} scope @param {Storage} [storage] */
  constructor({ user, project }, storage = localStorage) {
    this.#storage = storage;
    this.#scope = PREFIX + JSON.stringify([user, project]);
  }

  /** @returns {number | null} the number of the revision; null where none was looked at here */
  get(proposal) {
    return this.#read()[proposal] ?? null;
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
