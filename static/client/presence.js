/**
 * Who is there: a list to begin with, then what changes. Pure, as the reducer.
 *
 * The server lists so many people at most and counts the rest. A change that was applied before
 * changes nothing, so a list may come together with changes that it contains already.
 */

/**
 * @param {{present: readonly object[], count: number}} known
 * @param {object} frame `presence`
 * @returns {{present: readonly object[], count: number}}
 */
export function withPresence(known, frame) {
  if (frame.present) return { present: frame.present, count: frame.count ?? frame.present.length };
  const people = new Map(known.present.map((person) => [person.user_id, person]));
  for (const id of frame.left ?? []) people.delete(id);
  for (const person of [...(frame.joined ?? []), ...(frame.moved ?? [])]) {
    people.set(person.user_id, person);
  }
  const changed = [frame.left, frame.joined, frame.moved].some((list) => list?.length > 0);
  const present = changed ? [...people.values()] : known.present;
  return { present, count: frame.count ?? present.length };
}

/** The list as a frame, for one who was told nothing yet. */
export function presenceFrame({ present, count }) {
  return { type: "presence", count, present };
}
