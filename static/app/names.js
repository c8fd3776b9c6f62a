/** What people are called: by the names that tokens, comments and reviews gave them, else by their ids. */
export class Names {
  #known = new Map();
  /** Goes up when somebody's name becomes known or another one. */
  version = 0;
  #looked = { present: null, proposals: null };

  /** @param {{id: string, name?: string}} me */
  constructor(me) {
    this.#learn(me.id, me.name);
  }

  of(id) {
    return this.#known.get(id) ?? String(id ?? "Somebody");
  }

  /** Take over what a project's state says; cheap where nothing changed. */
  learn({ present, proposals }) {
    if (present !== this.#looked.present) {
      for (const { user_id: id, name } of present) this.#learn(id, name);
    }
    if (proposals !== this.#looked.proposals) {
      for (const { reviews = [], comments = [] } of Object.values(proposals)) {
        for (const { reviewer, reviewer_name: name } of reviews) this.#learn(reviewer, name);
        for (const { author, author_name: name } of comments) this.#learn(author, name);
      }
    }
    this.#looked = { present, proposals };
  }

  #learn(id, name) {
    if (!id || !name || this.#known.get(id) === name) return;
    this.#known.set(id, String(name));
    this.version += 1;
  }
}
