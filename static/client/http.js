/** The HTTP side of the interface: snapshots, history, and the commands where there is no socket. */

/** A request that was refused, with what the server said about it (RFC 9457). */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where no answer came
   * @param {Record<string, unknown>} problem the problem document; empty where there was none
   */
  constructor(status, problem, retryAfterMs = 0) {
    super(
      String(problem.detail ?? problem.title ?? (status === 0 ? "no answer" : `HTTP ${status}`)),
    );
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
}

const REQUEST_TIMEOUT_MS = 20_000;
const PROPOSALS_A_PAGE = 500;

export class Api {
  #base;
  #tokens;
  #clock;
  #env;

  /**
   * @param {object} options
   * @param {string} options.base an http(s) address without a slash at its end
   * @param {import("./tokens.js").TokenSource} options.tokens
   * @param {import("./clock.js").ServerClock} options.clock
   * @param {object} options.env {fetch, setTimeout, clearTimeout}
   */
  constructor({ base, tokens, clock, env }) {
    this.#base = base;
    this.#tokens = tokens;
    this.#clock = clock;
    this.#env = env;
  }

  /**
   * The project, its lock, proposals, active and last runs, who is present, and the `position` of all.
   *
   * The proposals come in pages. A later one may be newer than the position, which does no harm:
   * events that it contains already say nothing new.
   */
  async snapshot(project) {
    const { proposals_next: next = null, ...snapshot } = await this.request(
      "GET",
      `/projects/${enc(project)}`,
    );
    const lists = ["proposals", "last_runs", "last_verdicts"];
    const whole = Object.fromEntries(lists.map((list) => [list, [...(snapshot[list] ?? [])]]));
    for (let after = next; after !== null; ) {
      const query = new URLSearchParams({ after, limit: String(PROPOSALS_A_PAGE) });
      const page = await this.request("GET", `/projects/${enc(project)}/proposals?${query}`);
      for (const list of lists) whole[list].push(...(page[list] ?? []));
      after = page.next;
    }
    return { ...snapshot, ...whole };
  }

  /**
   * A page of the stored events after a position, as far as this user may see them.
   *
   * @returns {Promise<{events: object[], position: string, more: boolean, lost: number}>}
   *   position: how far the page goes, to ask for the next one; lost: events after `after` that
   *   are no longer stored
   */
  history(project, { after = null, limit = 1000 } = {}) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (after) query.set("after", after);
    return this.request("GET", `/projects/${enc(project)}/events?${query}`);
  }

  startValidation(proposal) {
    return this.request("POST", `/proposals/${enc(proposal)}/validations`, { body: {} });
  }

  startIteration(proposal, instruction) {
    return this.request("POST", `/proposals/${enc(proposal)}/iterations`, {
      body: { instruction },
    });
  }

  cancelRun(run) {
    return this.request("DELETE", `/runs/${enc(run)}`);
  }

  run(run) {
    return this.request("GET", `/runs/${enc(run)}`);
  }

  /** A page of a proposal's runs, newest first: `{runs, next}`. */
  runs(proposal, { after = null, limit = 50 } = {}) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (after) query.set("after", after);
    return this.request("GET", `/proposals/${enc(proposal)}/runs?${query}`);
  }

  /** All comments on a proposal, oldest first, from as many pages as they take: `{comments}`. */
  async comments(proposal) {
    const path = `/proposals/${enc(proposal)}/comments`;
    const { comments, next = null } = await this.request("GET", path);
    const whole = [...comments];
    for (let after = next; after !== null; ) {
      const page = await this.request("GET", `${path}?${new URLSearchParams({ after })}`);
      whole.push(...page.comments);
      after = page.next;
    }
    return { comments: whole };
  }

  addComment(proposal, comment) {
    return this.request("POST", `/proposals/${enc(proposal)}/comments`, { body: comment });
  }

  updateProposal(proposal, changes) {
    return this.request("PATCH", `/proposals/${enc(proposal)}`, { body: changes });
  }

  removeProposal(proposal) {
    return this.request("DELETE", `/proposals/${enc(proposal)}`);
  }

  lock(project, reason) {
    return this.request("PUT", `/projects/${enc(project)}/lock`, { body: { reason } });
  }

  renewLock(project) {
    return this.request("PUT", `/projects/${enc(project)}/lock`, { body: { renew: true } });
  }

  unlock(project) {
    return this.request("DELETE", `/projects/${enc(project)}/lock`);
  }

  /**
   * @param {string} method
   * @param {string} path below `/api/v1`
   * @param {{body?: unknown, raw?: boolean}} [options] raw: what is asked for is a text, not JSON
   * @returns {Promise<any>} the JSON of the answer; null for an empty one
   * @throws {ApiError} for every answer but 2xx, and with status 0 where there was none
   */
  async request(method, path, { body, raw = false } = {}) {
    const token = await this.#tokens.get();
    const response = await this.#send(method, path, body, token);
    if (response.status !== 401 || !this.#tokens.canRenew) return this.#read(response, raw);
    const renewed = await this.#tokens.get({ force: true, reason: "rejected" });
    return this.#read(await this.#send(method, path, body, renewed), raw);
  }

  async #send(method, path, body, token) {
    const headers = { Accept: "application/json", Authorization: `Bearer ${token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const abort = new AbortController();
    const timer = this.#env.setTimeout(() => abort.abort(), REQUEST_TIMEOUT_MS);
    try {
      return await this.#env.fetch(`${this.#base}/api/v1${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: abort.signal,
      });
    } catch (error) {
      const detail = abort.signal.aborted
        ? "The server did not answer in time."
        : "The server cannot be reached.";
      throw new ApiError(0, { detail, cause: error instanceof Error ? error.name : "unknown" });
    } finally {
      this.#env.clearTimeout(timer);
    }
  }

  async #read(response, raw) {
    this.#clock.atLeast(response.headers.get("date"));
    const text = await response.text();
    if (raw && response.ok) return text;
    let value = null;
    try {
      value = text === "" ? null : JSON.parse(text);
    } catch {
      value = null; // A proxy's page of HTML: the status says enough.
    }
    if (response.ok) return value;
    const retryAfter = Number(response.headers.get("retry-after"));
    throw new ApiError(response.status, value ?? {}, retryAfter > 0 ? retryAfter * 1000 : 0);
  }
}

function enc(part) {
  return encodeURIComponent(part);
}
