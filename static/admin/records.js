/** The records that are loaded, and which of them the search leaves. Newest last. */

export const MOST_RECORDS = 100_000;
/** Dropping one by one would move a hundred thousand records for each that comes. */
const DROP_AT_ONCE = 5_000;

export class Records {
  #all = [];
  #words = [];
  #texts = new WeakMap();
  /** @type {object[]} what the search leaves */
  shown = [];
  dropped = 0;

  get size() {
    return this.#all.length;
  }

  add(records) {
    for (const record of records) this.#all.push(record);
    const matching = this.#words.length === 0 ? records : records.filter((r) => this.#matches(r));
    for (const record of matching) this.shown.push(record);
    const over = this.#all.length - MOST_RECORDS;
    if (over > 0) {
      const gone = new Set(this.#all.splice(0, Math.max(over, DROP_AT_ONCE)));
      this.dropped += gone.size;
      this.shown = this.shown.filter((record) => !gone.has(record));
    }
    return matching.length;
  }

  /** Earlier records, in their order. */
  addOlder(records) {
    this.#all = [...records, ...this.#all];
    this.shown = [...records.filter((record) => this.matches(record)), ...this.shown];
  }

  /** The oldest one that is loaded. */
  get first() {
    return this.#all[0] ?? null;
  }

  /** Whether the search leaves a record. */
  matches(record) {
    return this.#words.length === 0 || this.#matches(record);
  }

  clear() {
    this.#all = [];
    this.shown = [];
    this.dropped = 0;
  }

  /** Every word has to be somewhere in the record. */
  search(text) {
    this.#words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown =
      this.#words.length === 0 ? [...this.#all] : this.#all.filter((r) => this.#matches(r));
  }

  #matches(record) {
    let text = this.#texts.get(record);
    if (text === undefined) {
      text = JSON.stringify(record).toLowerCase();
      this.#texts.set(record, text);
    }
    return this.#words.every((word) => text.includes(word));
  }
}

export function asJsonLines(records) {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

const COLUMNS = [
  "id",
  "ts",
  "actor",
  "action",
  "outcome",
  "project_id",
  "target",
  "connection_id",
  "ip",
  "worker",
  "details",
];

/**
 * Where a spreadsheet would see a formula begin (OWASP, "CSV Injection"): at the start of a cell, and
 * behind what separates cells in its language. Quotes do not help with the latter: `x,"y;=1"` read by
 * semicolons is the cells `x,"y` and `=1"`.
 */
const FORMULA =
  /(^|[;\t\r\n])(?=(?:[^\S\t\r\n]|["'\0])*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n\0])/g;

/** RFC 4180. What a spreadsheet would take for a formula is made text by an apostrophe. */
export function asCsv(records) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    const safe = text.replace(FORMULA, "$1'");
    return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = records.map((record) => COLUMNS.map((name) => cell(record[name])).join(","));
  return [COLUMNS.join(","), ...rows, ""].join("\r\n");
}

export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
