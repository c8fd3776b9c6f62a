/** Comments as threads: the one that began each, and what answers it. Pure. */

/**
 * @typedef {object} Thread
 * @property {string} id of the comment that began it
 * @property {object | null} root null where it was removed and only answers are left
 * @property {object[]} replies
 * @property {object | null} anchor the place in the text that it is about
 * @property {boolean} open whether it is about a place, and not settled
 * @property {object | null} resolved by whom and when it was settled
 * @property {boolean} outdated whether its place is not in the newest text any more
 */

const known = new WeakMap();

/**
 * @param {object[]} comments in their order
 * @returns {Thread[]} in the order in which they began; the same objects for the same comments
 */
export function threadsOf(comments) {
  if (!comments) return [];
  if (!known.has(comments)) known.set(comments, group(comments));
  return known.get(comments);
}

function group(comments) {
  const byId = new Map(comments.map((comment) => [comment.id, comment]));
  const threads = new Map();
  for (const comment of comments) {
    const id = rootOf(comment, byId);
    if (!threads.has(id)) threads.set(id, { id, root: byId.get(id) ?? null, replies: [] });
    if (comment.id !== id) threads.get(id).replies.push(comment);
  }
  return [...threads.values()].map((thread) => {
    const { root } = thread;
    const anchor = root?.anchor ?? null;
    const resolved = root?.resolved ?? null;
    return {
      ...thread,
      anchor,
      resolved,
      open: anchor !== null && resolved === null,
      outdated: root?.outdated === true,
    };
  });
}

function rootOf(comment, byId) {
  let at = comment;
  // Nobody answers what is not there yet, so this ends; the bound is for what a server may send.
  for (let steps = 0; at.reply_to && steps < 1_000; steps += 1) {
    if (!byId.has(at.reply_to)) return at.reply_to;
    at = byId.get(at.reply_to);
  }
  return at.id;
}

export function openThreads(comments) {
  return threadsOf(comments).filter(({ open }) => open);
}

/** How many open ones there are of each file, by path. */
export function openByFile(comments) {
  const many = new Map();
  for (const { anchor } of openThreads(comments)) {
    many.set(anchor.path, (many.get(anchor.path) ?? 0) + 1);
  }
  return many;
}

/**
 * The line at which a thread stands in a revision; null where that is not known.
 *
 * @param {Thread} thread
 * @param {{number: number}} revision the one that is shown
 * @param {boolean} isNewest
 */
export function lineIn({ anchor, root }, revision, isNewest) {
  if (!anchor) return null;
  if (anchor.revision === revision.number && anchor.line) return anchor.line;
  return isNewest ? (root.place?.line ?? null) : null;
}

/** What a thread is about, in a few words. */
export function placeWords({ path, heading, line }) {
  if (heading) return `${path}, “${heading}”`;
  return line ? `${path}, line ${line}` : path;
}
