/**
 * Who may do what, as docs/collaboration.md has it. The server decides; this only spares people a button
 * that would be refused.
 */

/** @param {{id: string, admin: boolean, service?: boolean}} me */
function isTrusted(me) {
  return me.admin || me.service === true;
}

function isOwner(me, proposal) {
  return me.id === proposal.author || me.id === proposal.created_by;
}

export function isReviewer(me, proposal) {
  return (proposal.reviewers ?? []).includes(me.id);
}

/** Whether events tell somebody of the comments. */
export function isMember(me, proposal) {
  return me.id === proposal.author || isReviewer(me, proposal);
}

/** Whether somebody may have the text changed. */
export function mayRevise(me, proposal) {
  if (proposal.status === "archived") return false;
  return isTrusted(me) || isOwner(me, proposal) || isReviewer(me, proposal);
}

/** Which verdicts somebody may give. */
export function verdictsOf(me, proposal) {
  if (proposal.status === "archived" || !proposal.revision) return [];
  if (isReviewer(me, proposal) || me.admin) return ["approve", "request_changes", "comment"];
  return isOwner(me, proposal) || me.service ? ["comment"] : [];
}

const MOVES = {
  draft: ["in_review", "archived"],
  in_review: ["approved", "rejected", "draft", "archived"],
  approved: ["archived", "in_review"],
  rejected: ["in_review", "draft", "archived"],
  archived: [],
};

/** Which statuses somebody may give a proposal, the likeliest first. */
export function movesOf(me, proposal) {
  const may = isTrusted(me) || isOwner(me, proposal) || isReviewer(me, proposal);
  return may ? (MOVES[proposal.status] ?? []) : [];
}

/** Whether somebody may call a thread settled. */
export function mayResolve(me, comment, proposal) {
  return comment.author === me.id || me.admin || isOwner(me, proposal) || isReviewer(me, proposal);
}

export function mayRemove(me, comment) {
  return comment.author === me.id || me.admin;
}
