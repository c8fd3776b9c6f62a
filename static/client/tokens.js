/**
 * Where a connection's token comes from, and what a client may read in it.
 *
 * Nothing here checks a token: only the server can. The claims are read to know when to renew it
 * and which tabs belong to one user.
 */

/**
 * @param {string} token
 * @returns {Record<string, unknown>} the claims; empty for what is no JWT
 */
export function claimsOf(token) {
  const part = typeof token === "string" ? token.split(".")[1] : undefined;
  if (!part) return {};
  try {
    const base64 = part.replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims && typeof claims === "object" ? claims : {};
  } catch {
    return {}; // An opaque token is allowed: it is then renewed when the server says so.
  }
}

/** @returns {number | null} when the token expires, in milliseconds since 1970 */
export function expiresAtMs(token) {
  const { exp } = claimsOf(token);
  return typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : null;
}

/** @returns {number | null} for how long the token was made, in milliseconds */
export function lifeMs(token) {
  const { exp, iat } = claimsOf(token);
  return Number.isFinite(exp) && Number.isFinite(iat) && exp > iat ? (exp - iat) * 1000 : null;
}

/**
 * A moment as the server writes it: RFC 3339, the date of an HTTP header, or seconds since 1970.
 *
 * @returns {number | null} milliseconds since 1970
 */
export function momentMs(value) {
  if (typeof value === "number" && Number.isFinite(value)) return value * 1000;
  if (typeof value !== "string") return null;
  const parsed = Date.parse(value);
  return Number.isNaN(parsed) ? null : parsed;
}

/** Holds the current token, and gets a new one by the app's `getToken`. */
export class TokenSource {
  #getToken;
  #current;
  #pending = null;

  /**
   * @param {{token?: string | null, getToken?: ((why: {reason: string}) => unknown) | null}} from
   * @throws {TypeError} where neither is given
   */
  constructor({ token = null, getToken = null }) {
    if (!token && typeof getToken !== "function") {
      throw new TypeError("connect() needs a token or a getToken function");
    }
    this.#current = token;
    this.#getToken = typeof getToken === "function" ? getToken : null;
  }

  get canRenew() {
    return this.#getToken !== null;
  }

  get current() {
    return this.#current;
  }

  set(token) {
    this.#current = token;
  }

  /**
   * @param {{force?: boolean, reason?: string}} [options] force: the current one will not do
   * @returns {Promise<string>}
   * @throws {Error} what `getToken` threw, or that there is no other token
   */
  async get({ force = false, reason = "connect" } = {}) {
    if (!force && this.#current) return this.#current;
    if (!this.#getToken) throw new Error("no getToken to ask for a new token");
    // Several callers (the socket, an HTTP call) that find the token expired ask once.
    this.#pending ??= (async () => {
      try {
        const token = await this.#getToken({ reason });
        if (typeof token !== "string" || token === "") throw new Error("getToken gave no token");
        this.#current = token;
        return token;
      } finally {
        this.#pending = null;
      }
    })();
    return this.#pending;
  }
}
