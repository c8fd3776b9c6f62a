/**
 * What a client does about each way a connection can end, and how long it waits. Pure rules: they
 * take what they need and do no I/O.
 */

/** Why the client stopped, as a word for programs. */
export const STOPPED = Object.freeze({
  closed: "closed",
  unauthorized: "unauthorized",
  forbidden: "forbidden",
  ended: "ended",
  replaced: "replaced",
  notFound: "not_found",
  protocolError: "protocol_error",
  refused: "refused",
});

const AGAIN = { action: "reconnect" };
/** The token will do in a while, the server says (`nbf`, RFC 7519 section 4.1.5). */
const LATER = { action: "wait", serverSpoke: true };

/** What `closing` says where an administrator ended the connection; the code alone says "forbidden". */
const ENDED_BY_ADMIN = "Disconnected by an administrator";

/** Close code to action: `reconnect`, `new_token` (then reconnect) or `stop`. */
const BY_CODE = new Map([
  [4001, { action: "new_token", because: STOPPED.unauthorized }],
  [4003, { action: "stop", because: STOPPED.forbidden }],
  [4009, { action: "stop", because: STOPPED.replaced }],
  [4400, { action: "stop", because: STOPPED.protocolError }],
  // The server said so itself, so the transport is not to blame and no other need be tried.
  [1001, { ...AGAIN, serverSpoke: true }],
  [1011, { ...AGAIN, serverSpoke: true }],
  [1012, { ...AGAIN, serverSpoke: true }],
  [1013, { ...AGAIN, serverSpoke: true }],
  [4008, { ...AGAIN, serverSpoke: true }],
  [4010, { ...AGAIN, serverSpoke: true }],
  [4029, { ...AGAIN, serverSpoke: true }],
  [4053, { ...AGAIN, serverSpoke: true }],
]);

const BY_STATUS = new Map([
  [401, BY_CODE.get(4001)],
  [403, BY_CODE.get(4003)],
  [404, { action: "stop", because: STOPPED.notFound }],
  [429, { ...AGAIN, serverSpoke: true }],
  [503, { ...AGAIN, serverSpoke: true }],
]);

/**
 * What to do after a connection ended or could not be opened.
 *
 * @param {{code?: number, status?: number, retryAfterMs?: number}} end the close code, or the HTTP
 *   status that refused it
 * @param {{code?: number, reconnect?: boolean, retry_after_ms?: number | null} | null} closing the
 *   server's last `closing` frame
 * @returns {{action: "reconnect" | "new_token" | "wait" | "stop", because?: string,
 *   serverSpoke?: boolean}}
 */
export function actionFor(end, closing = null) {
  const byStatus = end.status === undefined ? undefined : BY_STATUS.get(end.status);
  if (byStatus) return byStatus.action === "new_token" && end.retryAfterMs > 0 ? LATER : byStatus;
  // A close frame may get lost (1005, 1006) or be made up by a proxy; the frame before it says why.
  const code = closing?.code ?? end.code;
  if (code === 4003 && (closing?.reason ?? end.reason) === ENDED_BY_ADMIN) {
    return { action: "stop", because: STOPPED.ended };
  }
  const action = BY_CODE.get(code) ?? (closing ? { ...AGAIN, serverSpoke: true } : AGAIN);
  if (action.action === "new_token" && closing?.retry_after_ms > 0) return LATER;
  if (closing?.reconnect === false && action.action === "reconnect") {
    return { action: "stop", because: STOPPED.refused };
  }
  return action;
}

/** Defaults; each can be given in `connect({timing})`. All in milliseconds unless the name says. */
export const TIMING = Object.freeze({
  /** A transport has this long from the start to its `welcome`. */
  open_timeout_ms: 10_000,
  /** The first wait is at most this, doubling with each attempt. */
  backoff_base_ms: 500,
  backoff_cap_ms: 30_000,
  /** A connection that lasts this long has proven itself: the next wait is short again. */
  stable_after_ms: 10_000,
  /** After a check is sent: say so when it is unanswered for the first, give up after the second. */
  check_stale_ms: 1_500,
  check_dead_ms: 6_000,
  /** Silence after which the client checks, where the server names no heartbeat. */
  silence_ms: 40_000,
  /** After a `closing` frame the server should close; else the client does. */
  closing_grace_ms: 2_000,
  /** A command unanswered for this long is rejected. */
  request_timeout_ms: 15_000,
  /** A transport that fails this often, while plain HTTP works, is passed over for the next. */
  failures_before_fallback: 2,
  /** So is one that is cut this often within `stable_after_ms` without a word from the server. */
  cuts_before_fallback: 4,
  /** A token that is not valid yet is waited for so long at a time. */
  token_wait_ms: 60_000,
  /** After this long on a lesser transport the best is tried again at the next reconnect. */
  prefer_best_after_ms: 600_000,
});

/**
 * Full-jitter exponential backoff: anything from nothing to the doubled ceiling, so that clients
 * that lost the same server do not come back in step. What the server asked for is waited first.
 *
 * @param {number} attempt 0 for the first wait
 * @param {() => number} random uniform in [0, 1)
 * @param {{backoff_base_ms: number, backoff_cap_ms: number}} timing
 * @param {number} [retryAfterMs] the server's wish
 * @returns {number} milliseconds
 */
export function backoffMs(attempt, random, timing, retryAfterMs = 0) {
  const ceiling = Math.min(timing.backoff_cap_ms, timing.backoff_base_ms * 2 ** attempt);
  return Math.round(Math.max(0, retryAfterMs) + random() * ceiling);
}

/** However short-lived tokens are, asking for them more often would be an attack on the issuer. */
const SOONEST_RENEWAL_MS = 5_000;

/**
 * How long to wait before a token is renewed: well before it expires, and not in step with others.
 *
 * @param {{leftMs: number, lifeMs: number | null}} token by the server's time: how long it is good
 *   yet, and for how long it was made, where it says so
 * @param {() => number} random
 * @returns {number} milliseconds
 */
export function refreshInMs({ leftMs, lifeMs }, random) {
  const margin = Math.min(60_000, Math.max(5_000, (lifeMs ?? leftMs) * 0.2));
  return Math.max(SOONEST_RENEWAL_MS, Math.round(leftMs - margin - random() * margin * 0.5));
}
