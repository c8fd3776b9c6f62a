/**
 * Objects that are looked up by ids from outside: without a prototype, so that no id (`constructor`,
 * `__proto__`) finds anything but what was put in.
 */

/** What `from` has, and then `changes`. */
export function dict(from = {}, changes = {}) {
  return Object.assign(Object.create(null), from, changes);
}
