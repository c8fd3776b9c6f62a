/** Other open proposals that touch the same requirements: what stands against what, in words. */
import { addressOf } from "../address.js";
import { fill, h, said, show } from "../dom.js";
import { count, listOf } from "../format.js";
import { icon } from "../icons.js";

/** More requirements of one proposal are counted. */
const NAMED = 5;
const DOES = { added: "adds", modified: "changes", removed: "removes", renamed: "renames" };

/** @returns {[string, object[]][]} by the other proposal, in the order in which they came */
export function byProposal(collisions) {
  const groups = new Map();
  for (const each of collisions ?? []) {
    groups.set(each.proposal_id, [...(groups.get(each.proposal_id) ?? []), each]);
  }
  return [...groups];
}

/** What both do to a requirement: "both change it", or "this one changes it, the other removes it". */
export function clashOf({ here, there }) {
  const [mine, theirs] = [DOES[here] ?? "touches", DOES[there] ?? "touches"];
  return mine === theirs
    ? `both ${mine.replace(/s$/, "")} it`
    : `this one ${mine} it, the other ${theirs} it`;
}

/**
 * The collisions of somebody's own proposals that are new since the last look.
 *
 * @param {Map<string, Set<string>>} known by proposal the others that it collided with; brought up to date
 * @param {Record<string, object>} proposals
 * @param {(proposal: object) => boolean} isOwn
 * @returns {{proposal: string, other: string, requirement: string}[]}
 */
export function newCollisions(known, proposals, isOwn) {
  const found = [];
  for (const proposal of Object.values(proposals)) {
    const before = known.get(proposal.id);
    const now = byProposal(proposal.collisions);
    known.set(proposal.id, new Set(now.map(([other]) => other)));
    if (!before || !isOwn(proposal)) continue; // One that was not there yet is told of by itself.
    for (const [other, [{ requirement }]] of now) {
      // Of two of one's own the first that says so is enough.
      const isTold = known.get(other)?.has(proposal.id) && proposals[other] && isOwn(proposals[other]);
      if (!before.has(other) && !isTold) found.push({ proposal: proposal.id, other, requirement });
    }
  }
  return found;
}

export function createCollisions({ store }) {
  const words = h("p", {});
  const list = h("ul.collision-list");
  const element = h(
    "section.collisions",
    { "aria-label": "Collisions", hidden: true },
    icon("warning"),
    h("div", { role: "status" }, words, list),
  );
  let drawn = "";

  function row([other, clashes]) {
    const view = { project: store.project, proposal: other, view: "changes" };
    const rest = clashes.length - NAMED;
    return h(
      "li",
      {},
      h("a", { href: addressOf(view) }, said(titleOf(other))),
      ": ",
      clashes
        .slice(0, NAMED)
        .map((clash, at) => [
          at > 0 && "; ",
          h("strong", {}, said(clash.requirement)),
          ` in ${clash.capability}, ${clashOf(clash)}`,
        ]),
      rest > 0 && `; and ${count(rest, "more requirement")}`,
      ".",
    );
  }

  function titleOf(id) {
    return store.state.proposals[id]?.title || id;
  }

  return {
    element,
    update(proposal) {
      const groups = byProposal(proposal.collisions);
      show(element, groups.length > 0);
      const key = JSON.stringify(groups.map((group) => [titleOf(group[0]), group]));
      if (key === drawn) return;
      drawn = key;
      fill(
        words,
        h(
          "strong",
          {},
          groups.length === 1
            ? "Another open proposal touches the same requirement."
            : `${count(groups.length, "other open proposal")} touch the same requirements.`,
        ),
        " Whichever is archived second undoes the first, or is refused: agree on one text before that.",
      );
      fill(list, groups.map(row));
    },
  };
}

/** How many proposals one collides with, for the list; empty where with none. */
export function collidesWith(proposal, titleOf) {
  return listOf(byProposal(proposal.collisions).map(([other]) => titleOf(other)));
}
