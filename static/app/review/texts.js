/**
 * The revisions of proposals as far as this page has asked for them, with their files and what differs
 * between them. A revision never changes, so what is known of one stays true.
 */
import { ApiError } from "../../client/index.js";
import { Resources } from "./resources.js";
import { readingOrder } from "./sources.js";

const PAGE = 30;
/** The event that brings a new revision comes right after the one that names it. */
const BRINGS_MS = 400;
/** In the place of when the proposal was made: it is not known yet. */
const AHEAD = Symbol("ahead");

export class Texts {
  #request;
  #changed;
  #resources;
  #later;
  /** By proposal: {phase, error, list (newest first), more, asked}. */
  #revisions = new Map();

  /**
   * @param {(method: string, path: string, options?: object) => Promise<any>} request
   * @param {() => void} changed
   * @param {typeof setTimeout} [later]
   */
  constructor(request, changed, later = (work, ms) => setTimeout(work, ms)) {
    this.#request = request;
    this.#changed = changed;
    this.#later = later;
    this.#resources = new Resources(changed);
  }

  /**
   * The revisions of a proposal; asked for where they are not here, or not all that there are.
   *
   * @param {{id: string, created_at?: string, revision: {number: number} | null}} proposal
   * @returns {{phase: "loading" | "ready" | "failed", error: unknown, list: object[], more: boolean}}
   */
  revisions({ id, created_at: made, revision }) {
    let known = this.#revisions.get(id);
    if (known?.made === AHEAD && known.phase !== "failed") known.made = made;
    if (!known || known.made !== made) known = this.#begin(id, made);
    const newest = revision?.number ?? 0;
    const isBehind = newest > (known.list[0]?.number ?? 0);
    if (known.asked === null) {
      known.asked = newest;
      void this.#load(id, known);
    } else if (isBehind && known.asked < newest && known.phase === "ready") {
      known.asked = newest;
      this.#later(() => {
        if ((known.list[0]?.number ?? 0) < newest) void this.#load(id, known);
      }, BRINGS_MS);
    }
    return known;
  }

  #begin(id, made) {
    const known = { phase: "loading", error: null, list: [], more: false, made, asked: null };
    this.#revisions.set(id, known);
    return known;
  }

  /**
   * Ask for the text that an address names, before anything else is known of the proposal: that saves
   * two ways there and back. Where it fails it is asked for once more when it is needed.
   *
   * @param {{revision: number | null, file: string | null}} place
   */
  async ahead(id, { revision: number, file }) {
    const known = this.#begin(id, AHEAD);
    known.asked = 0;
    await this.#load(id, known);
    const revision = known.list.find((each) => each.number === (number ?? known.list[0].number));
    const files = readingOrder(revision?.files ?? []);
    const wanted = files.find(({ path }) => path === file) ?? files[0];
    if (wanted) this.file(id, revision, wanted);
  }

  async #load(id, known) {
    try {
      const query = `limit=${PAGE}`;
      const { revisions, more } = await this.#request("GET", `${base(id)}?${query}`);
      const oldest = revisions.at(-1)?.number ?? 0;
      const older = known.list.filter(({ number }) => number < oldest);
      known.more = older.length > 0 ? known.more : more;
      known.list = [...revisions, ...older];
      known.phase = "ready";
    } catch (error) {
      this.#fail(known, error);
    }
    this.#changed();
  }

  #fail(known, error) {
    if (!(error instanceof ApiError)) throw error;
    known.phase = "failed";
    known.error = error;
  }

  /** Take over a revision that was told of (`revision_created`). */
  heard({ proposal_id: id, revision }) {
    const known = this.#revisions.get(id);
    // One between is missing: the next look at the list asks for it.
    if (known?.phase !== "ready" || revision.number !== (known.list[0]?.number ?? 0) + 1) return;
    known.list = [revision, ...known.list];
  }

  /** Older revisions than those that are here. */
  async more(id) {
    const known = this.#revisions.get(id);
    if (!known?.more || known.list.length === 0) return;
    const query = `limit=${PAGE}&before=${known.list.at(-1).number}`;
    const { revisions, more } = await this.#request("GET", `${base(id)}?${query}`);
    known.list = [...known.list, ...revisions];
    known.more = more;
    this.#changed();
  }

  /** One revision by its number, wherever in the list; `{phase, value, error}`. */
  revision(proposal, number) {
    const { list, phase, error, more } = this.revisions(proposal);
    const value = list.find((each) => each.number === number);
    if (value || phase !== "ready") return { phase: value ? "ready" : phase, value, error };
    if (!more) return { phase: "failed", value, error: new Error(`There is no revision ${number}.`) };
    return this.#resources.get(`revision ${proposal.id} ${number}`, async () => {
      const query = `limit=1&before=${number + 1}`;
      const { revisions } = await this.#request("GET", `${base(proposal.id)}?${query}`);
      if (revisions[0]?.number === number) return revisions[0];
      throw new ApiError(404, { detail: `There is no revision ${number}.` });
    });
  }

  /** What a file of a revision holds: `{phase, value, error}`. */
  file(proposalId, revision, { path, sha256 }) {
    const at = path.split("/").map(encodeURIComponent).join("/");
    return this.#resources.get(`file ${proposalId} ${sha256}`, () =>
      this.#request("GET", `${base(proposalId)}/${revision.number}/files/${at}`, { raw: true }),
    );
  }

  /**
   * How a revision differs from another one: `{phase, value, error}`.
   *
   * @param {number | "specs"} against
   * @param {string} [stamp] what else the answer hangs on: it is asked for anew where this differs
   */
  changes(proposalId, number, against, stamp = "") {
    return this.#resources.get(`changes ${proposalId} ${number} ${against} ${stamp}`, () =>
      this.#request("GET", `${base(proposalId)}/${number}/changes?against=${against}`),
    );
  }

  /** Ask anew for all that could not be had. */
  retry() {
    for (const known of this.#revisions.values()) {
      if (known.phase !== "failed") continue;
      known.phase = known.list.length > 0 ? "ready" : "loading";
      known.asked = null;
    }
    this.#resources.retry();
  }
}

function base(proposalId) {
  return `/proposals/${encodeURIComponent(proposalId)}/revisions`;
}
