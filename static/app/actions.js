/** What the page's buttons do: ask the server, and say so where it did not work. */
import { claimsOf } from "../client/index.js";
import { describeFailure, isLive } from "./words.js";

const SHOWN_LATER = "The server has it. What comes of it shows here once the connection is back.";

/**
 * @param {object} options
 * @param {import("./store.js").ProjectStore} options.store
 * @param {{say: (text: string, options?: object) => void}} options.toasts
 * @param {Map<string, string>} options.busy what was asked and is not answered yet, by proposal
 * @param {() => void} options.onSignOut
 * @param {(message: string) => void} options.onSignIn
 */
export function createActions({ store, toasts, busy, onSignOut, onSignIn }) {
  async function attempt(key, what, work) {
    if (key !== null && busy.has(key)) return false;
    if (key !== null) busy.set(key, what);
    store.changed();
    try {
      return (await work()) !== false;
    } catch (error) {
      toasts.say(describeFailure(error), { tone: "bad" });
      return false;
    } finally {
      busy.delete(key);
      store.changed();
    }
  }
  /** Something was asked for that shows by events, which do not come without a connection. */
  async function begin(key, work) {
    const isDone = await attempt(key, key === null ? "" : "starting", work);
    if (isDone && !isLive(store.connection)) toasts.say(SHOWN_LATER, { tone: "warning" });
    return isDone;
  }
  return {
    me: () => {
      const { sub, name, roles } = claimsOf(store.token);
      const has = (role) => Array.isArray(roles) && roles.includes(role);
      return { id: sub, name: name ?? sub, admin: has("admin"), service: has("service") };
    },
    /** @param {() => Promise<any>} work what it resolves with; false where it failed, and was told */
    attempt: (work) => attempt(null, "", work),
    restore: (id, number) =>
      attempt(id, "restoring", async () => {
        const path = `/proposals/${encodeURIComponent(id)}/revisions/${number}/restore`;
        const made = await store.api.request("POST", path);
        toasts.say(`The text of revision ${number} is back, as revision ${made.number}.`);
        return made;
      }),
    signOut: onSignOut,
    reconnect: () => store.reconnect(),
    reload: () => location.reload(),
    "sign-in": () => onSignIn("Paste a new token to go on where you left off."),
    lock: (reason) => attempt(null, "", () => store.api.lock(store.project, reason)),
    unlock: () => attempt(null, "", () => store.api.unlock(store.project)),
    startValidation: (id) => begin(id, () => store.startValidation(id)),
    startIteration: (id, text) => begin(id, () => store.startIteration(id, text)),
    cancel: (run) => attempt(run.proposal_id, "cancelling", () => store.cancel(run)),
    loadEarlier: (runId) =>
      attempt(null, "", async () => {
        const found = await store.loadEarlier(runId);
        if (!found) toasts.say("They are no longer stored.", { tone: "warning" });
        return found;
      }),
    /** @param {{anchor?: object, reply_to?: string}} [about] */
    comment: (id, text, about = {}) =>
      attempt(null, "", async () => {
        await store.api.addComment(id, { text, ...about });
        await store.loadComments(id);
      }),
    /** @param {{text?: string, resolved?: boolean}} changes */
    changeComment: (id, comment, changes) =>
      attempt(null, "", async () => {
        await store.api.request("PATCH", `/comments/${comment}`, { body: changes });
        await store.loadComments(id);
      }),
    removeComment: (id, comment) =>
      attempt(null, "", async () => {
        await store.api.request("DELETE", `/comments/${comment}`);
        await store.loadComments(id);
      }),
  };
}
