/** What the server refused, in words: what happened, and what to do. Pure. */
import { sentence } from "./states.js";

const ADVICE = {
  stale_revision: "Somebody changed the text meanwhile. Look at what changed, and decide on that.",
  approvals_missing: "It can be accepted when the reviewers have approved the text as it is now.",
  archive_refused: "OpenSpec refused to archive it, and nothing was changed. Mend the text, and try again.",
  archived: "It is archived, so its text and what was decided stay as they are.",
  locked: "Somebody else has locked the project. Wait until it is unlocked, or ask them.",
  wrong_move: "Its status has changed meanwhile. What you see now is up to date.",
  conflict: "Somebody changed the same file meanwhile, and nothing was written. Compare the two, and try again on the newest text.",
  stale: "It was changed by somebody else meanwhile. Try again.",
  unsafe_path: "One of these files may not be written: only OpenSpec's own documents may, such as proposal.md and specs/fees/spec.md.",
  workspace: "The files in the workspace cannot be reached now. Nothing was changed.",
};

/**
 * @param {{status?: number, message: string, problem?: {reason?: string, detail?: string}}} error
 * @returns {{title: string, detail: string, reason: string}} detail: the server's own words
 */
export function refusalOf(error) {
  const reason = String(error?.problem?.reason ?? "");
  const said = String(error?.problem?.detail ?? error?.message ?? "");
  if (error?.status === 0) {
    return { title: "The server did not answer. Nothing may have been changed: try again.", detail: "", reason };
  }
  if (error?.status === 403) return { title: sentence(said), detail: "", reason };
  const title = ADVICE[reason];
  return title ? { title, detail: said, reason } : { title: sentence(said), detail: "", reason };
}
