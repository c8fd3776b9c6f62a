/** Which proposals the list shows, and in what order. Pure: proposals in, proposals out. */

/** @typedef {{search: string, status: string, whose: string, sort: string}} Choice */

/** @type {Choice} */
export const EVERYTHING = Object.freeze({ search: "", status: "", whose: "", sort: "" });

export const WHOSE = [
  ["", "Everyone’s"],
  ["mine", "Mine"],
  ["waiting", "Waiting for me"],
  ["unread", "Unread"],
];

export const SORTS = [
  ["", "Oldest first"],
  ["newest", "Newest first"],
  ["changed", "Last changed"],
  ["title", "By title"],
];

/** Whether a proposal waits for what somebody has to do: a verdict on its text, or another text. */
export function isWaitingFor(proposal, me) {
  if (proposal.status !== "draft" && proposal.status !== "in_review") return false;
  if (proposal.author === me && (proposal.approvals?.blocked_by ?? []).length > 0) return true;
  if (proposal.status !== "in_review" || !(proposal.reviewers ?? []).includes(me)) return false;
  const mine = (proposal.reviews ?? []).find(({ reviewer }) => reviewer === me);
  return mine === undefined || mine.stale || mine.verdict === "comment";
}

/**
 * @param {readonly object[]} proposals in the order in which they were made
 * @param {Choice} choice
 * @param {{me: string, isUnread?: (id: string) => boolean}} reader
 * @returns {object[]}
 */
export function chosen(proposals, { search, status, whose, sort }, { me, isUnread = () => false }) {
  const terms = plain(search).split(/\s+/).filter(Boolean);
  const tests = {
    mine: ({ author, created_by: maker }) => (author ?? maker) === me,
    waiting: (proposal) => isWaitingFor(proposal, me),
    unread: ({ id }) => isUnread(id),
  };
  const fits = Object.hasOwn(tests, whose) ? tests[whose] : () => true;
  const found = proposals.filter(
    (proposal) =>
      (status === "" || proposal.status === status) &&
      fits(proposal) &&
      (terms.length === 0 || hasAll(proposal, terms)),
  );
  if (sort === "newest") return found.reverse();
  if (sort === "changed") return found.sort((a, b) => compare(b.updated_at, a.updated_at));
  if (sort === "title") return found.sort((a, b) => collator.compare(nameOf(a), nameOf(b)));
  return found;
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Without capitals and accents, as one types when one looks for something. */
function plain(text) {
  return String(text).normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

function hasAll({ title, id, author, reviewers = [] }, terms) {
  const text = plain([title, id, author, ...reviewers].join(" "));
  return terms.every((term) => text.includes(term));
}

function nameOf({ title, id }) {
  return title || id;
}

/** Moments in RFC 3339, all in UTC: their text sorts as they do. */
function compare(a = "", b = "") {
  return a < b ? -1 : Number(a > b);
}
