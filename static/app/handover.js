/**
 * Lets a tab that was opened by a link begin signed in: it asks this browser's other tabs of the same
 * origin, and one that has a token for the project gives it. No other origin can listen.
 */
import { projectsOf } from "./address.js";

const CHANNEL = "rtserver.sign-in";
/** Tabs answer at once; one that was put aside does not answer at all. */
const WAIT_MS = 250;

function opens(token, project) {
  const projects = projectsOf(token);
  return project === null || projects === null || projects.includes(project);
}

/**
 * Answer tabs that ask.
 *
 * @param {() => string | null} current the token that is good here; null where there is none
 * @returns {() => void} stops it
 */
export function offerToken(current, Channel = globalThis.BroadcastChannel) {
  if (typeof Channel !== "function") return () => {};
  const channel = new Channel(CHANNEL);
  channel.onmessage = ({ data }) => {
    const token = data?.kind === "ask" ? current() : null;
    if (token && opens(token, data.project)) channel.postMessage({ kind: "token", to: data.id, token });
  };
  return () => channel.close();
}

/**
 * @param {string | null} project that is to be opened; null: whichever
 * @param {object} [env] {BroadcastChannel, uuid, setTimeout}
 * @returns {Promise<string | null>} another tab's token; null where no tab has a fitting one
 */
export function askForToken(project, env = {}) {
  const Channel = env.BroadcastChannel ?? globalThis.BroadcastChannel;
  if (typeof Channel !== "function") return Promise.resolve(null);
  const channel = new Channel(CHANNEL);
  const id = (env.uuid ?? tabId)();
  return new Promise((resolve) => {
    const end = (token) => {
      clearTimeout(timer);
      channel.close();
      resolve(token);
    };
    const timer = (env.setTimeout ?? setTimeout)(() => end(null), WAIT_MS);
    channel.onmessage = ({ data }) => {
      if (data?.kind === "token" && data.to === id && typeof data.token === "string") end(data.token);
    };
    channel.postMessage({ kind: "ask", id, project });
  });
}

/** Only to tell answers apart: `randomUUID` is not there on plain HTTP. */
function tabId() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
