/**
 * What somebody changes in a proposal's files and did not send yet: on which revision they began, and by
 * path the whole text, or null where the file goes. It is kept in the tab like other drafts.
 */

const KIND = "edit";
/** In UTF-16 units. Larger ones would push all other drafts out: they live as long as the page. */
const MAX_KEPT = 64 * 1024;
/** As the server has it (docs/reviewing.md). */
export const MAX_FILE_BYTES = 1024 * 1024;

export class Edits {
  #drafts;
  #known = new Map();

  /** @param {import("../drafts.js").Drafts} drafts */
  constructor(drafts) {
    this.#drafts = drafts;
  }

  /** @returns {{base: number, files: Record<string, string | null>} | null} null: nothing is edited */
  of(proposal) {
    if (!this.#known.has(proposal)) this.#known.set(proposal, read(this.#drafts.get(proposal, KIND)));
    return this.#known.get(proposal);
  }

  begin(proposal, base) {
    if (this.of(proposal) === null) this.#keep(proposal, { base, files: {} });
  }

  /** @param {string | null | undefined} text undefined: the file is as it was */
  set(proposal, path, text) {
    const { base, files } = this.of(proposal);
    const { [path]: _, ...others } = files;
    this.#keep(proposal, { base, files: text === undefined ? others : { ...others, [path]: text } });
  }

  /** Go on from another revision: what it changed in the same files is overwritten. */
  rebase(proposal, base) {
    this.#keep(proposal, { ...this.of(proposal), base });
  }

  end(proposal) {
    this.#keep(proposal, null);
  }

  /** Whether it would survive a reload. */
  isKept(proposal) {
    return JSON.stringify(this.of(proposal)).length <= MAX_KEPT;
  }

  #keep(proposal, edit) {
    this.#known.set(proposal, edit);
    const text = edit === null ? "" : JSON.stringify(edit);
    this.#drafts.set(proposal, KIND, text.length > MAX_KEPT ? "" : text);
  }
}

function read(text) {
  try {
    const { base, files } = JSON.parse(text);
    const isEdit = Number.isInteger(base) && typeof files === "object" && files !== null;
    return isEdit ? { base, files } : null;
  } catch {
    return null; // There is none, or something else wrote it.
  }
}

/**
 * Where a file from somebody's disk belongs: in the place of the one file of that name, else at the top.
 *
 * @param {string} name
 * @param {string[]} paths of what is there
 */
export function placeFor(name, paths) {
  const named = paths.filter((path) => path.split("/").at(-1) === name);
  return named.length === 1 ? named[0] : name;
}

/**
 * The text of a file from somebody's disk.
 *
 * @param {{name: string, size: number, arrayBuffer: () => Promise<ArrayBuffer>}} file
 * @throws {Error} whose message says what is wrong with it
 */
export async function textOf(file) {
  if (file.size > MAX_FILE_BYTES) throw new Error(`${file.name} has more than 1 MiB, which is too much.`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is no text in UTF-8. Save it as such, and choose it again.`);
  }
}
