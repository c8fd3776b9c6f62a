/** What was fetched, by what it is: kept while it is used, asked for once, tried again on request. */

const MAX_ENTRIES = 200;
const MAX_CHARS = 8 * 1024 * 1024;

export class Resources {
  #entries = new Map();
  #chars = 0;
  #changed;

  /** @param {() => void} changed called when something has come, or failed to */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} load called where it is not here and not on its way
   * @returns {{phase: "loading" | "ready" | "failed", value: T | undefined, error: unknown}}
   */
  get(key, load) {
    const known = this.#entries.get(key);
    if (known) {
      // The one that was used last goes last.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    const entry = { phase: "loading", value: undefined, error: null, chars: 0 };
    this.#entries.set(key, entry);
    void this.#fill(key, entry, load);
    return entry;
  }

  async #fill(key, entry, load) {
    try {
      entry.value = await load();
      entry.phase = "ready";
      entry.chars = typeof entry.value === "string" ? entry.value.length : 0;
      if (this.#entries.get(key) === entry) this.#chars += entry.chars;
    } catch (error) {
      entry.phase = "failed";
      entry.error = error;
    }
    this.#makeRoom(key);
    this.#changed();
  }

  /** Forget what could not be had, so that it is asked for anew. */
  retry() {
    for (const [key, { phase }] of this.#entries) {
      if (phase === "failed") this.#entries.delete(key);
    }
    this.#changed();
  }

  #makeRoom(except) {
    for (const [key, { phase, chars }] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#chars <= MAX_CHARS) return;
      if (key === except || phase === "loading") continue;
      this.#entries.delete(key);
      this.#chars -= chars;
    }
  }
}
