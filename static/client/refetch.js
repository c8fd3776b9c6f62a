/** What a gap may have changed, fetched anew: no more and no less than a page needs to be up to date. */
import { ApiError } from "./http.js";
import { earlier } from "./positions.js";
import { backoffMs } from "./policy.js";

/** A request that finds no server, or a busy one, is made so often. */
const ATTEMPTS = 8;
/** How much of the log is read for the output of runs, in pages of a thousand events. */
const PAGES = 30;

/**
 * The snapshot, and what it does not have of the proposals that somebody looks at: their discussions
 * (`comments`, by proposal), their last runs with all that they ended with (`runs`), and what is stored
 * of the output of these and of the runs under way (`events`). `fromSnapshot` takes all of it.
 *
 * @param {object} from
 * @param {import("./http.js").Api} from.api
 * @param {string} from.project
 * @param {readonly string[]} from.focus the proposals that somebody looks at
 * @param {(work: () => Promise<any>) => Promise<any>} from.ask makes a request, see `persistently`
 * @returns {Promise<import("./index.d.ts").Missed>}
 * @throws {ApiError} where the server refused, or was not there for all of the attempts
 */
export async function fetchMissed({ api, project, focus, ask }) {
  const snapshot = await ask(() => api.snapshot(project));
  const present = new Set((snapshot?.proposals ?? []).map(({ id }) => id));
  const shown = focus.filter((id) => present.has(id));
  const comments = Object.create(null);
  for (const id of shown) {
    const found = await ask(() => api.comments(id).catch(goneIsNull));
    if (found) comments[id] = found.comments;
  }
  const ended = [...(snapshot?.last_runs ?? []), ...(snapshot?.last_verdicts ?? [])].filter(
    ({ proposal_id: id }) => shown.includes(id),
  );
  const runs = [];
  for (const id of new Set(ended.map(({ run_id }) => run_id))) {
    const run = await ask(() => api.run(id).catch(goneIsNull));
    if (run) runs.push(run);
  }
  const wanted = [...(snapshot?.active_runs ?? []), ...ended];
  const events = await outputOf(wanted, { api, project, ask });
  return { ...snapshot, comments, runs, events };
}

/** What is stored of the output of some runs. */
async function outputOf(wanted, { api, project, ask }) {
  const ids = new Set(wanted.map(({ run_id: id }) => id));
  const from = wanted.reduce((least, run) => earlier(least, run.replay_from), null);
  const events = [];
  for (let after = from, pages = 0; after !== null && pages < PAGES; pages += 1) {
    const limit = 1000;
    const page = await ask(() => api.history(project, { after, limit }).catch(goneIsNull));
    events.push(...(page?.events ?? []).filter(({ run_id: id }) => ids.has(id)));
    after = page?.more ? page.position : null;
  }
  return events;
}

/** It was removed since it was listed. */
function goneIsNull(error) {
  if (error instanceof ApiError && error.status === 404) return null;
  throw error;
}

/**
 * Make a request again, a while later each time, while the server is away or busy.
 *
 * @param {object} env {setTimeout}
 * @param {{timing: object, random: () => number, isOver: () => boolean}} how isOver: nobody waits any more
 * @returns {(work: () => Promise<any>) => Promise<any>} rejects with the last attempt's error
 */
export function persistently(env, { timing, random, isOver }) {
  return async (work) => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        const passes = error.status === 0 || error.status === 429 || error.status >= 500;
        if (!passes || attempt + 1 >= ATTEMPTS || isOver()) throw error;
        const wait = backoffMs(attempt, random, timing, error.retryAfterMs);
        await new Promise((resolve) => {
          env.setTimeout(resolve, wait);
        });
      }
    }
  };
}
