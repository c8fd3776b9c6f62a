/** What the page says about its connection and its runs. Pure: states in, words out. */
import { count, duration, timeOf } from "./format.js";

const TRANSPORT_NAMES = { websocket: "WebSocket", sse: "event stream", sockjs: "SockJS" };

export function transportName(name) {
  return TRANSPORT_NAMES[name] ?? "no transport";
}

const STOPPED_WORDS = {
  replaced: {
    title: "Live updates are off in this window",
    detail: "You opened more connections than one person may have, so the oldest was closed.",
    action: { name: "reconnect", label: "Use this window" },
  },
  unauthorized: {
    title: "Your sign-in is no longer valid",
    detail: "The token has expired or was refused.",
    then: "Sign in again to go on where you left off.",
    action: { name: "sign-in", label: "Sign in again" },
  },
  forbidden: {
    title: "You have no access to this project",
    detail: "Your token does not open it.",
    then: "Ask whoever gave you the token.",
    action: { name: "sign-in", label: "Use another token" },
  },
  ended: {
    title: "An administrator ended your connection",
    detail: "You can connect again, unless your token was withdrawn as well.",
    action: { name: "reconnect", label: "Connect again" },
  },
  not_found: {
    title: "The proposal is no longer there",
    detail: "The server does not know it any more.",
    action: { name: "reconnect", label: "Try again" },
  },
  protocol_error: {
    title: "The connection was stopped",
    detail: "The server did not understand this page. Reload to get the current version.",
    action: { name: "reload", label: "Reload" },
  },
  refused: {
    title: "The connection was stopped",
    detail: "The server asked not to be called again.",
    action: { name: "reconnect", label: "Try again" },
  },
  closed: {
    title: "Live updates are off",
    detail: "The connection was closed.",
    action: { name: "reconnect", label: "Connect" },
  },
};

const WHY_WAITING = {
  full: "The project is full.",
  busy: "The server can’t serve this page now.",
  lost: "The connection was lost.",
  unreachable: "The server cannot be reached.",
  transport: "The connection could not be opened.",
  token: "The server asked for a new sign-in.",
  not_yet_valid: "Your sign-in is not valid yet: the clock of its issuer is ahead.",
};

/** Refusals whose code says less than the server's own words, which go before what to do about it. */
function inServersWords({ because, reason, why }) {
  const isTold = ["unauthorized", "forbidden"].includes(because) || ["full", "busy"].includes(why);
  const text = String(reason ?? "").replace(/^(Unauthorized|Forbidden)(: |$)/, "");
  if (!isTold || text === "" || /^HTTP \d+$/.test(text)) return null;
  return `${text[0].toUpperCase()}${text.slice(1)}`.replace(/\.?$/, ".");
}

function stopped(state) {
  const { then, ...words } = STOPPED_WORDS[state.because] ?? STOPPED_WORDS.closed;
  const detail = [inServersWords(state) ?? words.detail, then].filter(Boolean).join(" ");
  return { ...words, detail };
}

/**
 * @param {object} state of the connection
 * @param {number} nowMs
 * @param {boolean} [isOnline] whether the browser has a network, as far as it knows
 * @returns {{tone: "good" | "busy" | "warning" | "bad", short: string, title: string,
 *   detail: string, countdown: string, action: {name: string, label: string} | null}}
 *   `countdown` changes every second and is not to be announced
 */
export function describeConnection(state, nowMs, isOnline = globalThis.navigator?.onLine ?? true) {
  const nothing = { detail: "", countdown: "", action: null };
  switch (state.name) {
    case "live": {
      const over = transportName(state.transport);
      const detail = state.partial
        ? `Over ${over}: this proposal is live, the others are refreshed every 15 seconds.`
        : `Connected over ${over} since ${timeOf(state.since)}.`;
      return { ...nothing, tone: "good", short: "Live", title: "Live", detail };
    }
    case "stale": {
      const title =
        state.reason === "offline" ? "You seem to be offline" : "No answer from the server";
      const detail = `What you see may be out of date since ${timeOf(state.since)}. Checking the connection.`;
      return { ...nothing, tone: "warning", short: "Checking", title, detail };
    }
    case "reconnecting": {
      const left = Math.max(0, Math.ceil((state.at - nowMs) / 1000));
      const since = state.since ? ` What you see is from ${timeOf(state.since)}.` : "";
      return {
        tone: "warning",
        short: isOnline ? "Reconnecting" : "Offline",
        title: isOnline ? (WHY_WAITING[state.why] ?? WHY_WAITING.lost) : "You are offline.",
        detail: [inServersWords(state), `This page catches up by itself.${since}`]
          .filter(Boolean)
          .join(" "),
        countdown: left > 0 ? `Trying again in ${left} s` : "Trying again now",
        action: { name: "reconnect", label: "Try now" },
      };
    }
    case "stopped":
      return {
        ...nothing,
        tone: "bad",
        short: "Stopped",
        ...stopped(state),
      };
    default: {
      const again = state.attempt > 0 || state.since;
      return {
        ...nothing,
        tone: again ? "warning" : "busy",
        short: "Connecting",
        title: again ? "Connecting again" : "Connecting",
        detail: again && state.since ? `What you see is from ${timeOf(state.since)}.` : "",
      };
    }
  }
}

/** Whether the page would hear of a change at once. */
export function isLive(state) {
  return state.name === "live" || state.name === "stale";
}

/**
 * What becomes of what is sent now, for those who are about to; empty where nothing is out of the way.
 *
 * @param {object} state of the connection
 */
export function describeSending(state, isOnline = globalThis.navigator?.onLine ?? true) {
  const isFirst = state.name === "connecting" && !(state.attempt > 0 || state.since);
  const isOut = !isOnline && state.name !== "live";
  if (isFirst || (isLive(state) && !isOut)) return "";
  if (state.name === "stopped" && ["unauthorized", "forbidden"].includes(state.because)) {
    return "The server would refuse this now: sign in again first.";
  }
  if (isOut) return "You are offline: this cannot be sent before the connection is back.";
  return "Not connected: the server is asked all the same, and what comes of it shows once the connection is back.";
}

/** What to tell after a connection was taken up again; null where there is nothing to tell. */
export function describeResume(info) {
  if (info.first) return null;
  const away = info.down_ms >= 1000 ? ` after ${duration(info.down_ms)}` : "";
  if (info.outcome === "replayed") {
    return `Back${away}. Caught up: ${count(info.replayed, "event")} replayed.`;
  }
  if (info.outcome === "nothing_missed") return `Back${away}. Nothing was missed.`;
  return null; // "lost" has its own notice, with what to know about it.
}

export function describeGap(gap) {
  const many =
    typeof gap.lost === "number" && gap.lost > 0
      ? `${count(gap.lost, "event is", "events are")} no longer stored`
      : "Some events are no longer stored";
  if (gap.refetched === null) return `${many}. Fetching what is true now…`;
  const then = gap.refetched
    ? "All that you see is up to date again; output printed in between is not shown."
    : "Reload the page to bring it up to date.";
  return `${many}. ${then}`;
}

/**
 * @param {object | null} run
 * @param {boolean} [live] whether the connection would tell of a change
 * @returns {{tone: string, label: string}}
 */
export function describeRun(run, live = true) {
  switch (run?.status) {
    case "running":
      return live
        ? { tone: "busy", label: "Running" }
        : { tone: "quiet", label: "Running when last seen" };
    case "queued":
      return { tone: "busy", label: "Waiting" };
    case "passed":
      return { tone: "good", label: "Passed" };
    case "complete":
      // Its files are written; what they are worth is the validator's word.
      return { tone: run.verdict === "failed" ? "warning" : "good", label: "Done" };
    case "failed":
      return { tone: "bad", label: "Failed" };
    case "error":
      return { tone: "bad", label: "Could not finish" };
    case "cancelled":
      return { tone: "quiet", label: "Cancelled" };
    case "unknown":
      return { tone: "quiet", label: "Ended" };
    default:
      return { tone: "quiet", label: "Not run yet" };
  }
}

const LEVELS = new Map([
  ["error", "error"],
  ["warning", "warning"],
  ["warn", "warning"],
  ["info", "info"],
]);

/**
 * The findings in a validator's own report, whatever its items are called.
 *
 * @returns {{level: "error" | "warning" | "info", path: string, line: number | null,
 *   message: string}[]} the gravest first, else in the report's order
 */
export function findingsOf(report) {
  if (!report || typeof report !== "object") return [];
  const groups = Array.isArray(report.items) ? report.items : [report];
  const found = groups.flatMap((item) => (Array.isArray(item?.issues) ? item.issues : []));
  const order = ["error", "warning", "info"];
  return found
    .map((issue) => ({
      level: LEVELS.get(String(issue.level ?? "").toLowerCase()) ?? "info",
      path: String(issue.path ?? ""),
      line: Number.isInteger(issue.line) ? issue.line : null,
      message: String(issue.message ?? ""),
    }))
    .sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

export function tally(findings) {
  const of = (level) => findings.filter((finding) => finding.level === level).length;
  const parts = [
    [of("error"), "error"],
    [of("warning"), "warning"],
    [of("info"), "note"],
  ];
  return parts
    .filter(([many]) => many > 0)
    .map(([many, name]) => count(many, name))
    .join(", ");
}

/** What went wrong with a request or command, for people. */
export function describeFailure(error) {
  if (error?.name === "CommandError" && error.reason === "connection_lost") {
    return "The connection was lost before the server answered. If it began, it will show here.";
  }
  const message = error instanceof Error ? error.message : "";
  if (error?.status === 0) return `${message} Try again when the connection is back.`;
  return message || "That did not work. Try again.";
}
