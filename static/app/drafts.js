/**
 * What somebody began to write and did not send yet, for each proposal.
 *
 * A draft belongs to its user, project, proposal and kind (`comment`, `instruction`), and is kept in
 * this tab's storage, so that it survives a reload and is gone with the tab.
 */

const PREFIX = "rtserver.draft ";
/** All drafts together, in UTF-16 units; past it those that were touched longest ago are dropped. */
const MAX_CHARS = 128 * 1024;

export class Drafts {
  #storage;
  #scope;
  #now;

  /**
   * @param {{user: string, project: string}} scope
   * @param {Storage} [storage]
   */
  constructor({ user, project }, storage = sessionStorage, now = Date.now) {
    this.#storage = storage;
    this.#scope = [user, project];
    this.#now = now;
  }

  get(proposal, kind) {
    return read(this.#storage, this.#key(proposal, kind)).text;
  }

  set(proposal, kind, text) {
    const key = this.#key(proposal, kind);
    if (text === "") {
      this.#storage.removeItem(key);
      return;
    }
    const value = JSON.stringify({ at: this.#now(), text });
    this.#makeRoom(MAX_CHARS - key.length - value.length, key);
    try {
      this.#storage.setItem(key, value);
    } catch {
      // The storage is full of other things. The text still stands in its field.
    }
  }

  #key(proposal, kind) {
    return PREFIX + JSON.stringify([...this.#scope, proposal, kind]);
  }

  #makeRoom(chars, except) {
    const others = draftKeys(this.#storage).filter((key) => key !== except);
    const sized = others.map((key) => ({
      key,
      at: read(this.#storage, key).at,
      size: key.length + this.#storage.getItem(key).length,
    }));
    let used = sized.reduce((sum, { size }) => sum + size, 0);
    for (const { key, size } of sized.sort((a, b) => a.at - b.at)) {
      if (used <= chars) return;
      this.#storage.removeItem(key);
      used -= size;
    }
  }
}

/** Whoever signs out leaves nothing behind. */
export function forgetDrafts(storage = sessionStorage) {
  for (const key of draftKeys(storage)) storage.removeItem(key);
}

function draftKeys(storage) {
  const keys = Array.from({ length: storage.length }, (_, at) => storage.key(at));
  return keys.filter((key) => key.startsWith(PREFIX));
}

function read(storage, key) {
  try {
    const { at, text } = JSON.parse(storage.getItem(key) ?? "{}");
    return { at: Number(at) || 0, text: typeof text === "string" ? text : "" };
  } catch {
    return { at: 0, text: "" }; // Something else wrote it.
  }
}

/**
 * Lets a field show the draft of one proposal at a time.
 *
 * @param {HTMLTextAreaElement} field
 * @param {Drafts} drafts
 * @param {string} kind
 */
export function draftField(field, drafts, kind) {
  let proposal = null;
  field.addEventListener("input", () => drafts.set(proposal, kind, field.value));
  return {
    /** Show a proposal's draft; what stands there is the other proposal's, and is kept for it. */
    show(next) {
      if (next === proposal) return;
      proposal = next;
      field.value = drafts.get(next, kind);
    },
    /** A text was sent. What was written since then stays. */
    sent(from, text) {
      if (drafts.get(from, kind).trim() !== text) return;
      drafts.set(from, kind, "");
      if (from === proposal) field.value = "";
    },
  };
}
