/** What reviewers say of a text, and what it adds up to, in words. Pure. */
import { count, listOf } from "../format.js";

const SAID = {
  approve: "approved",
  request_changes: "asked for changes on",
  comment: "commented on",
};
const TONES = { approve: "good", request_changes: "bad", comment: "quiet" };

/**
 * What stands of whom, those who decided first, then the reviewers who said nothing yet.
 *
 * @param {object} proposal
 * @param {(id: string) => string} nameOf
 * @returns {{who: string, words: string, tone: string, stale: boolean, review: object | null}[]}
 */
export function standingOf(proposal, nameOf) {
  const { reviews = [], reviewers = [], author } = proposal;
  const said = reviews.map((review) => ({
    who: review.reviewer,
    name: review.reviewer_name || review.reviewer,
    words: `${SAID[review.verdict] ?? review.verdict} revision ${review.revision}`,
    tone: review.stale && review.verdict === "approve" ? "quiet" : (TONES[review.verdict] ?? "quiet"),
    stale: review.stale === true,
    review,
  }));
  const silent = reviewers
    .filter((id) => id !== author && !reviews.some(({ reviewer }) => reviewer === id))
    .map((who) => ({
      who,
      name: nameOf(who),
      words: "has not decided yet",
      tone: "waits",
      stale: false,
      review: null,
    }));
  return [...said, ...silent];
}

/**
 * Where the decision stands, in one sentence.
 *
 * @param {object} proposal
 * @param {(id: string) => string} nameOf
 * @returns {{tone: string, words: string}}
 */
export function summaryOf(proposal, nameOf) {
  const { status, approvals, revision } = proposal;
  if (status === "archived") return { tone: "quiet", words: "Archived: its text stays as it is." };
  if (status === "rejected") return { tone: "bad", words: "Rejected. It can go back to review." };
  if (status === "draft") return { tone: "quiet", words: "A draft: nobody is asked to review it yet." };
  if (!revision) return { tone: "quiet", words: "There is no text yet to decide on." };
  if (status === "approved") {
    return { tone: "good", words: `Revision ${revision.number} is approved. It can be archived.` };
  }
  const { required = 0, given = 0, missing = 0, blocked_by: blockers = [] } = approvals ?? {};
  if (blockers.length > 0) {
    const names = listOf(blockers.map(nameOf));
    return { tone: "bad", words: `${names} asked for changes. That stands until they say otherwise.` };
  }
  if (missing > 0) {
    const words = `${given} of ${count(required, "approval")} of revision ${revision.number} given.`;
    return { tone: "warning", words };
  }
  return { tone: "good", words: `All approvals are there: revision ${revision.number} can be accepted.` };
}

/** Whether a proposal's approvals let it become approved. */
export function isApprovable({ approvals, revision }) {
  return Boolean(revision) && approvals?.missing === 0 && approvals.blocked_by.length === 0;
}

export const MOVE_LABELS = {
  approved: "Accept",
  rejected: "Reject",
  draft: "Back to draft",
  in_review: "To review",
  archived: "Archive…",
};
