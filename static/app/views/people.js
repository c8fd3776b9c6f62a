/** Who is here and what they look at: avatars at the top, and a list that opens under them. */
import { fill, h, keyedList, setText, show } from "../dom.js";
import { count, initials, listOf } from "../format.js";
import { icon } from "../icons.js";
import { addressOf } from "../address.js";

const SHOWN_PEOPLE = 4;
const PANEL_ID = "people-panel";

export function avatar(name) {
  return h("span.avatar", { title: name, "aria-hidden": "true" }, initials(name));
}

/** Those of `present` who look at a proposal, the reader left out. */
export function peopleAt(present, proposalId, me) {
  return present.filter(
    (person) => person.user_id !== me && person.proposal_ids?.includes(proposalId),
  );
}

export function createPeople({ store, actions }) {
  const faces = h("span.people-faces", { "aria-hidden": "true" });
  const number = h("span.people-count", { "aria-hidden": "true" });
  const spoken = h("span.visually-hidden");
  const button = h(
    "button.people",
    { type: "button", "aria-expanded": "false", "aria-controls": PANEL_ID },
    spoken,
    faces,
    number,
  );
  const total = h("span.people-total");
  const note = h("p.people-note");
  const list = h("ul.people-list");
  const more = h("p.people-note");
  const panel = h(
    "section.people-panel",
    { id: PANEL_ID, hidden: true, "aria-label": "Who is here" },
    h("h2", {}, "Who is here", total),
    note,
    list,
    more,
  );
  const element = h("div.people-menu", {}, button, panel);
  const drawList = keyedList(list, ({ person }) => person.user_id, makePerson);
  let drawn = {};

  function toggle(open) {
    button.setAttribute("aria-expanded", String(open));
    show(panel, open);
    document[open ? "addEventListener" : "removeEventListener"]("pointerdown", outside);
    if (open) update();
  }
  function outside(event) {
    if (!element.contains(event.target)) toggle(false);
  }
  button.addEventListener("click", () => toggle(panel.hidden));
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    toggle(false);
    button.focus();
  });

  function update() {
    const { present, present_count: people, proposals } = store.state;
    const me = actions.me().id;
    const live = store.connection.name === "live";
    if (drawn.present !== present || drawn.people !== people || drawn.live !== live) {
      drawn = { ...drawn, present, people, live };
      element.classList.toggle("old", !live);
      show(element, people > 0);
      drawFaces(present, people, me);
    }
    if (panel.hidden) return;
    if (drawn.listed === present && drawn.titles === proposals && drawn.noted === live) return;
    drawn = { ...drawn, listed: present, titles: proposals, noted: live };
    drawPanel(present, people, me, live);
  }

  function drawFaces(present, people, me) {
    const names = present.filter(({ user_id: id }) => id !== me).map(({ name }) => name);
    const others = people - 1;
    fill(faces, others > 0 ? names.slice(0, SHOWN_PEOPLE).map(avatar) : icon("people"));
    const rest = others - Math.min(names.length, SHOWN_PEOPLE);
    setText(number, rest > 0 ? `+${rest}` : "");
    const hidden = others - names.length;
    const said = hidden > 0 ? [...names.slice(0, 10), `${others - 10} more`] : names;
    setText(spoken, others > 0 ? `Also here: ${listOf(said)}` : "Only you are here");
  }

  function drawPanel(present, people, me, live) {
    setText(total, count(people, "person", "people"));
    const alone = people <= 1 ? "Only you. Whoever else opens the project appears here." : "";
    setText(note, live ? alone : "As it was before the connection was lost.");
    note.classList.toggle("warning", !live);
    show(note, note.textContent !== "");
    const { proposals } = store.state;
    const mineFirst = (a, b) =>
      Number(b.user_id === me) - Number(a.user_id === me) || a.name.localeCompare(b.name);
    drawList(
      [...present].sort(mineFirst).map((person) => ({
        person,
        isMe: person.user_id === me,
        places: (person.proposal_ids ?? []).map((id) => ({
          title: proposals[id]?.title || id,
          address: addressOf({ project: store.project, proposal: id }),
        })),
      })),
    );
    const left = people - present.length;
    setText(more, left > 0 ? `and ${count(left, "other")}` : "");
    show(more, left > 0);
  }

  return {
    element,
    update,
    destroy: () => document.removeEventListener("pointerdown", outside),
  };
}

function makePerson() {
  const face = h("span.avatar", { "aria-hidden": "true" });
  const name = h("span.person-name");
  const place = h("span.person-place");
  let drawn = "";
  return {
    element: h("li.person", {}, face, name, place),
    update({ person, isMe, places }) {
      const key = JSON.stringify([person.name, isMe, places]);
      if (key === drawn) return;
      drawn = key;
      setText(face, initials(person.name));
      fill(name, person.name, isMe && h("span.person-you", {}, " (you)"));
      const links = places.map(({ title, address }) => h("a", { href: address }, title));
      fill(
        place,
        links.length === 0
          ? "Looking at the project"
          : ["Looking at ", ...links.flatMap((link, at) => (at === 0 ? [link] : [", ", link]))],
      );
    },
  };
}
