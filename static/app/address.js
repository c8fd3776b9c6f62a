/**
 * What the page's address says. The token comes in the fragment, which browsers never send, and is
 * taken out at once, so that it is neither bookmarked nor shown; project and proposal stay.
 */
import { claimsOf, expiresAtMs } from "../client/index.js";

/** The address of the choice among the projects that one may open. */
export const CHOICE = "#projects";
const TOKEN_KEY = "rtserver.token";
const TRANSPORTS = ["websocket", "sse", "sockjs"];

function fragment() {
  return new URLSearchParams(location.hash.slice(1));
}

/** Move a token from the address bar to this tab's storage. */
export function takeTokenFromAddress() {
  const parts = fragment();
  const token = parts.get("token");
  if (token === null) return false;
  parts.delete("token");
  storeToken(token.trim());
  replaceFragment(parts);
  return true;
}

/** The parts of a place, in the order in which an address has them. */
const PLACE = [
  "project",
  "proposal",
  /** `text`, `changes`, `discussion`, `checks` or `revise`. */
  "view",
  /** Of the text: a file's path, the revision's number (without: the newest), a line. */
  "file",
  "revision",
  "line",
  /** What changes are seen from: a revision's number, or `specs`. */
  "against",
  /** A comment's id. */
  "thread",
  /** A run's id. */
  "run",
];
const NUMBERS = new Set(["revision", "line"]);

/** @returns {Record<string, string | number | null>} each of `PLACE`; null where it is not said */
export function route() {
  const parts = fragment();
  return Object.fromEntries(
    PLACE.map((name) => {
      const value = parts.get(name) || null;
      if (value === null || !NUMBERS.has(name)) return [name, value];
      return [name, /^[1-9]\d{0,8}$/.test(value) ? Number(value) : null];
    }),
  );
}

/** The address of a place in the page, for links: the browser's own history does the rest. */
export function addressOf(place) {
  const parts = new URLSearchParams();
  for (const name of PLACE) {
    if (place[name]) parts.set(name, String(place[name]));
  }
  return `#${parts}`;
}

export function replaceRoute(place) {
  history.replaceState(null, "", location.pathname + location.search + addressOf(place));
}

function replaceFragment(parts) {
  const rest = parts.size === 0 ? "" : `#${parts}`;
  history.replaceState(null, "", location.pathname + location.search + rest);
}

/** `?transport=` forces one way in, for those who want to see it at work. */
export function forcedTransports() {
  const wanted = new URLSearchParams(location.search).get("transport");
  return TRANSPORTS.includes(wanted) ? [wanted] : undefined;
}

/** What was pasted: a token, or the whole address of a page with one in its fragment. */
export function partsOfPasted(text) {
  const value = text.trim();
  const parts = new URLSearchParams(value.slice(value.indexOf("#") + 1));
  const token = parts.get("token");
  return token === null ? { token: value, project: null } : { token, project: parts.get("project") };
}

export function storedToken() {
  return sessionStorage.getItem(TOKEN_KEY) || null;
}

export function storeToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
}

/** Sign out: this tab does not ask the others for a token either. */
export function forgetToken() {
  sessionStorage.setItem(TOKEN_KEY, "");
}

/** Whether somebody signed out in this tab, and has not signed in again. */
export function isSignedOut() {
  return sessionStorage.getItem(TOKEN_KEY) === "";
}

/** The projects that a token names; null where it opens every one. */
export function projectsOf(token) {
  const { projects, roles } = claimsOf(token);
  if (Array.isArray(roles) && roles.includes("admin")) return null;
  if (!Array.isArray(projects)) return [];
  return projects.includes("*") ? null : projects.map(String);
}

/** What is wrong with a pasted token, in words; null where it looks right. */
export async function complaintAbout(token) {
  if (token === "") return "Paste a token first.";
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
    return "This is not a token: it should be three parts of letters and digits, joined by dots.";
  }
  return (await hasExpired(token)) ? "This token has expired. Ask for a new one." : null;
}

/** By the server's time, since this computer's clock may be ahead; where it is silent: no. */
async function hasExpired(token) {
  const expires = expiresAtMs(token);
  if (expires === null || expires > Date.now()) return false;
  try {
    const answer = await fetch("/healthz", { method: "HEAD", cache: "no-store" });
    return Date.parse(answer.headers.get("date")) >= expires;
  } catch {
    return false; // That it cannot be reached is said in due course.
  }
}
