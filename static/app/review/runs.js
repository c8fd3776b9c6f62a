/** The runs of a proposal as far as they were asked for, and one of them in full. */
import { ApiError, isActive, latestRun } from "../../client/index.js";
import { Resources } from "./resources.js";

const PAGE = 50;

export class Runs {
  #store;
  #resources;
  #list = { id: null, runs: [], next: null, error: null, phase: "loading" };
  #asked = "";

  /** @param {import("../store.js").ProjectStore} store */
  constructor(store) {
    this.#store = store;
    this.#resources = new Resources(() => store.changed());
  }

  /**
   * A proposal's runs, newest first; asked for anew where one began or ended.
   *
   * @returns {{phase: string, runs: object[], next: string | null, error: unknown}}
   */
  list(proposal) {
    const { state } = this.#store;
    const newest = ["validation", "iteration"].map((kind) => {
      const run = latestRun(state, proposal.id, kind);
      return run && [run.run_id, run.status];
    });
    const key = JSON.stringify([proposal.id, proposal.created_at, newest]);
    if (key === this.#asked) return this.#list;
    this.#asked = key;
    if (this.#list.id !== proposal.id) {
      this.#list = { id: proposal.id, runs: [], next: null, error: null, phase: "loading" };
    }
    void this.#load(this.#list, null);
    return this.#list;
  }

  /** Those before the oldest that is here. */
  more() {
    return this.#load(this.#list, this.#list.next);
  }

  async #load(list, after) {
    try {
      const { runs, next } = await this.#store.api.runs(list.id, { after, limit: PAGE });
      const known = new Set(list.runs.map(({ run_id: id }) => id));
      const isJoined = after !== null || runs.some(({ run_id: id }) => known.has(id));
      if (after !== null) list.runs = [...list.runs, ...runs.filter(({ run_id: id }) => !known.has(id))];
      else {
        const fresh = new Set(runs.map(({ run_id: id }) => id));
        list.runs = isJoined ? [...runs, ...list.runs.filter(({ run_id: id }) => !fresh.has(id))] : runs;
      }
      if (after !== null || !isJoined) list.next = next;
      list.phase = "ready";
      list.error = null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      list.error = error;
      list.phase = "failed";
    }
    this.#store.changed();
  }

  /** Ask again for what could not be had. */
  retry() {
    if (this.#list.error) this.#asked = "";
    this.#resources.retry();
  }

  /**
   * One run: as it is known here where it is under way or was followed, else as it is stored.
   *
   * @returns {{phase: "loading" | "ready" | "failed", value: object | undefined, error: unknown}}
   */
  one(runId) {
    const known = this.#store.state.runs[runId];
    if (known && (isActive(known) || !known.listed)) return { phase: "ready", value: known, error: null };
    return this.#resources.get(`run ${runId}`, () => this.#store.readRun(runId));
  }
}
