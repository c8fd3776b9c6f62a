/** The browser client of rtserver: everything an app imports. See docs/client.md. */
export { connect, Connection } from "./connect.js";
export { ServerClock } from "./clock.js";
export { ApiError } from "./http.js";
export { CommandError } from "./errors.js";
export { STOPPED, TIMING } from "./policy.js";
export { before, comparePositions, earlier, parsePosition } from "./positions.js";
export { withPresence } from "./presence.js";
export { claimsOf, expiresAtMs } from "./tokens.js";
export {
  emptyState,
  fromSnapshot,
  isActive,
  isOutdated,
  itemAt,
  itemsOf,
  latestRun,
  latestVerdict,
  reduce,
  reduceAll,
  reduceHistory,
  refill,
  withActiveRuns,
  withComments,
  withEndedRuns,
  withRun,
} from "./reducer.js";
