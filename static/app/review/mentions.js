/** `@name` in a text field is completed from those who are known in the project. */
import { fill, h, show } from "../dom.js";

const MAX_SHOWN = 6;

/**
 * What is being typed at the caret, if it is a mention.
 *
 * @returns {{start: number, query: string} | null} start: where the `@` is
 */
export function mentionAt(text, caret) {
  const found = /(?:^|[\s([{,;:])@([\w.-]*)$/.exec(text.slice(0, caret));
  return found && { start: caret - found[1].length - 1, query: found[1].toLowerCase() };
}

/** @param {{id: string, name: string}[]} people @returns those whom a query means, best first */
export function matching(people, query) {
  const rank = ({ id, name }) => {
    const texts = [id.toLowerCase(), name.toLowerCase()];
    if (texts.some((text) => text.startsWith(query))) return 0;
    return texts.some((text) => text.includes(query)) ? 1 : 2;
  };
  return people
    .filter((person) => rank(person) < 2)
    .sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id))
    .slice(0, MAX_SHOWN);
}

/** Those who are known: of the proposal, of its discussion, and those who are there. */
export function knownPeople(state, proposalId) {
  const proposal = state.proposals[proposalId];
  const known = new Map();
  const add = (id, name) => {
    if (id && /^[\w][\w.-]*$/.test(id) && (!known.has(id) || name)) known.set(id, name || id);
  };
  for (const id of [proposal?.author, proposal?.created_by, ...(proposal?.reviewers ?? [])]) add(id, "");
  for (const { author, author_name: name } of proposal?.comments ?? []) add(author, name);
  for (const { reviewer, reviewer_name: name } of proposal?.reviews ?? []) add(reviewer, name);
  for (const { user_id: id, name } of state.present) add(id, name);
  return [...known].map(([id, name]) => ({ id, name }));
}

let lists = 0;

/**
 * @param {HTMLTextAreaElement} field
 * @param {() => {id: string, name: string}[]} people
 * @returns {HTMLElement} the list, to be put right after the field
 */
export function completeMentions(field, people) {
  const id = `mentions-${(lists += 1)}`;
  const list = h("ul.mentions", { id, role: "listbox", "aria-label": "People", hidden: true });
  let shown = [];
  let at = 0;
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-controls", id);

  function close() {
    shown = [];
    show(list, false);
    field.removeAttribute("aria-activedescendant");
  }

  function draw() {
    show(list, true);
    field.setAttribute("aria-activedescendant", `${id}-${at}`);
    fill(
      list,
      shown.map((person, n) => {
        const option = h(
          "li.mention-option",
          { id: `${id}-${n}`, role: "option", "aria-selected": String(n === at) },
          h("strong", {}, `@${person.id}`),
          person.name !== person.id && ` ${person.name}`,
        );
        // Before the field loses the focus.
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          take(person);
        });
        return option;
      }),
    );
  }

  function look() {
    const found = mentionAt(field.value, field.selectionStart);
    shown = found ? matching(people(), found.query) : [];
    at = 0;
    if (shown.length === 0) close();
    else draw();
  }

  function take(person) {
    const { start } = mentionAt(field.value, field.selectionStart);
    field.setRangeText(`@${person.id} `, start, field.selectionStart, "end");
    close();
    field.dispatchEvent(new Event("input", { bubbles: true })); // It is a draft like what is typed.
  }

  field.addEventListener("input", look);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (shown.length === 0) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      at = (at + step + shown.length) % shown.length;
      draw();
    } else if (event.key === "Enter" || event.key === "Tab") {
      take(shown[at]);
    } else if (event.key === "Escape") {
      close();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  return list;
}
