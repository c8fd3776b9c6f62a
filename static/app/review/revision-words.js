/** Words for revisions. Pure. */
import { timeOf } from "../format.js";

const CAUSES = {
  first: () => "first text seen in the workspace",
  iteration: (_, actor) => `revised by the language model${actor ? ` for ${actor}` : ""}`,
  upload: (_, actor) => `sent by ${actor ?? "somebody"}`,
  restore: ({ restored_from: from }, actor) =>
    `${from ? `revision ${from}` : "an earlier text"} put back by ${actor ?? "somebody"}`,
  disk: () => "changed in the workspace",
};

/**
 * How a revision came about, with a small initial: "revised by the language model for Ada".
 *
 * @param {{of: (id: string) => string}} names
 */
export function causeOf(revision, names) {
  const actor = revision.actor ? names.of(revision.actor) : null;
  const words = CAUSES[revision.cause]?.(revision, actor) ?? revision.cause;
  return revision.note ? `${words}: “${revision.note}”` : words;
}

/** One line of the list of revisions. */
export function nameOf(revision, newest, names) {
  const which = revision.number === newest ? `Revision ${revision.number} (newest)` : `Revision ${revision.number}`;
  return `${which} · ${timeOf(revision.at)} · ${causeOf(revision, names)}`;
}

const MARKS = { added: "new", modified: "changed" };

/** What became of a file since the revision before; empty where nothing did. */
export function changeOf(file, revision) {
  // In the first one each file is new, which says nothing.
  return revision.number === 1 ? "" : (MARKS[file.change] ?? "");
}

export function sizeOf(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
