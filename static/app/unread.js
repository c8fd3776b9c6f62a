/**
 * What happened in proposals since somebody looked: for the counts in the list, in the tabs and in the
 * title. It is kept in the browser for each user and project, so that it survives a reload and is the
 * same in all tabs: what two tabs know is merged, in any order and any number of times.
 */
import { comparePositions } from "../client/index.js";
import { dict } from "../client/dict.js";

const PREFIX = "rtserver.unread ";
/** News kept for each proposal: more of them are not counted. */
const MOST_ITEMS = 99;
/** Proposals of which it is kept how far they were read. */
const MOST_READ = 300;
const SAVE_MS = 300;

/** Where each kind of news is read: in the discussion, where runs are shown, or anywhere. */
const PLACES = [
  [/^comment_created$/, "discussion"],
  [/^(validation|iteration)_(complete|error)$/, "checks"],
  [/^(status_changed|review_submitted|proposal_created)$/, "any"],
];

const EVERYWHERE = PLACES.map(([, place]) => place);

/** Whether an event is news, and the part of its proposal's page where it is read; null: it is none. */
export function placeOf({ type }) {
  return PLACES.find(([pattern]) => pattern.test(type))?.[1] ?? null;
}

export class Unread {
  #storage;
  #key;
  #me;
  #later;
  #changed;
  #timer = null;
  /** {checked, items: {proposal: [[id, place]]}, read: {proposal: {place: position}}} */
  #known;

  /**
   * @param {object} scope {user, project}
   * @param {object} [env] {storage, setTimeout, clearTimeout}
   * @param {() => void} [changed] another tab changed it
   */
  constructor({ user, project }, env = {}, changed = () => {}) {
    this.#storage = env.storage ?? localStorage;
    this.#later = env.later ?? ((work, ms) => setTimeout(work, ms));
    this.#key = PREFIX + JSON.stringify([user, project]);
    this.#me = user;
    this.#changed = changed;
    this.#known = this.#stored();
  }

  /** Everything up to this position was looked through; null on the first visit. */
  get checked() {
    return this.#known.checked;
  }

  /** How much news there is, in all proposals. */
  get total() {
    return Object.values(this.#known.items).reduce((sum, items) => sum + items.length, 0);
  }

  /** How much news a proposal has, in all or to be read in one place. */
  count(proposal, place = null) {
    const items = this.#known.items[proposal] ?? [];
    return place === null ? items.length : items.filter((item) => item[1] === place).length;
  }

  /**
   * @param {object} event a stored event
   * @returns {boolean} whether it is news to this user: by somebody else, and not read in any tab
   */
  note(event) {
    const place = placeOf(event);
    const { id, proposal_id: proposal } = event;
    const isOwn = place !== "checks" && event.actor === this.#me;
    if (place === null || isOwn || proposal === undefined) return false;
    if (isRead(this.#known.read[proposal], place, id)) return false;
    const items = this.#known.items[proposal] ?? [];
    if (items.some(([known]) => known === id)) return false;
    if (items.length < MOST_ITEMS) this.#known.items[proposal] = [...items, [id, place]];
    this.#saveSoon();
    return true;
  }

  /** All events up to a position were noted. */
  reached(position) {
    const order = comparePositions(position, this.checked);
    if (order !== null && order <= 0) return;
    this.#known.checked = position;
    this.#saveSoon();
  }

  /** Somebody saw what there is of a proposal in some places, up to a position. */
  look(proposal, places, position) {
    const items = this.#known.items[proposal] ?? [];
    const seen = items.filter(([, place]) => places.includes(place));
    if (seen.length === 0) return;
    const before = this.#known.read[proposal] ?? {};
    const others = dict(this.#known.read);
    delete others[proposal]; // So that it goes last.
    const now = Object.fromEntries(places.map((place) => [place, position]));
    this.#known.read = keepLast({ ...others, [proposal]: { ...before, ...now } });
    this.#known = normal(this.#known);
    this.#save();
  }

  /** Proposals that are gone have no news. */
  keepOnly(isThere, position) {
    const gone = Object.keys(this.#known.items).filter((proposal) => !isThere(proposal));
    for (const proposal of gone) this.look(proposal, EVERYWHERE, position);
  }

  /** Write down at once what is known: the page may be gone in a moment. */
  flush() {
    if (this.#timer !== null) this.#save();
  }

  /** Another tab wrote something: a listener for `storage`. */
  heard({ key }) {
    if (key !== this.#key) return;
    this.#known = merged(this.#known, this.#stored());
    this.#changed();
  }

  #saveSoon() {
    this.#timer ??= this.#later(() => this.#save(), SAVE_MS);
  }

  #save() {
    this.#timer = null;
    this.#known = merged(this.#known, this.#stored());
    try {
      this.#storage.setItem(this.#key, JSON.stringify(this.#known));
    } catch {
      // There is no room, or none is allowed: it is known until the page is closed.
    }
  }

  #stored() {
    const nothing = { checked: null, items: dict(), read: dict() };
    try {
      const value = JSON.parse(this.#storage.getItem(this.#key) ?? "null");
      const isWhole = value && typeof value.items === "object" && typeof value.read === "object";
      return isWhole
        ? normal({ checked: value.checked ?? null, items: dict(value.items), read: dict(value.read) })
        : nothing;
    } catch {
      return nothing; // Something else wrote it.
    }
  }
}

function isRead(read, place, id) {
  const order = comparePositions(id, read?.[place] ?? null);
  return order !== null && order <= 0;
}

/** The later of two positions; of two lives of the log that of `a`. */
function later(a, b) {
  if (!a || !b) return a ?? b ?? null;
  return (comparePositions(a, b) ?? 0) < 0 ? b : a;
}

function merged(a, b) {
  const read = dict(b.read);
  for (const [proposal, places] of Object.entries(a.read)) {
    const other = read[proposal] ?? {};
    const all = new Set([...Object.keys(places), ...Object.keys(other)]);
    read[proposal] = Object.fromEntries([...all].map((at) => [at, later(places[at], other[at])]));
  }
  const items = dict();
  for (const proposal of new Set([...Object.keys(a.items), ...Object.keys(b.items)])) {
    const both = [...(a.items[proposal] ?? []), ...(b.items[proposal] ?? [])];
    items[proposal] = [...new Map(both.map((item) => [item[0], item])).values()];
  }
  return normal({ checked: later(a.checked, b.checked), items, read: keepLast(read) });
}

/** Without what was read, in the order of the log, and no more than is kept. */
function normal({ checked, items, read }) {
  const kept = dict();
  for (const [proposal, all] of Object.entries(items)) {
    const left = all
      .filter(([id, place]) => !isRead(read[proposal], place, id))
      .sort(([a], [b]) => comparePositions(a, b) ?? 0)
      .slice(-MOST_ITEMS);
    if (left.length > 0) kept[proposal] = left;
  }
  return { checked, items: kept, read: dict(read) };
}

function keepLast(read) {
  return dict(Object.fromEntries(Object.entries(read).slice(-MOST_READ)));
}
