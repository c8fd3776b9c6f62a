/** The text of a proposal, file by file: as it is read, or as it is written. */
import { addressOf } from "../address.js";
import { fill, h, show } from "../dom.js";
import { timeOf } from "../format.js";
import { icon } from "../icons.js";
import { mayRevise } from "./rights.js";
import { createEditor } from "./editor.js";
import { createFiles } from "./files.js";
import { createInline } from "./inline.js";
import { loadMarkdown } from "./markdown.js";
import { createPicker } from "./picker.js";
import { sourceOf } from "./source.js";
import { readingOrder, tasksOf } from "./sources.js";
import { failed, loading, nothing } from "./states.js";
import { openByFile, threadsOf } from "./threads.js";

const SOURCE_KEY = "rtserver.source";
const FIRST_FILE = "proposal.md";
const NO_REVISION = { number: 0 };
const NO_RENDERER =
  "The server has no Markdown renderer installed, so the text is shown as it is written. Its " +
  "operator gets one with `make run`, which needs Node.js.";

export function createText(context) {
  const { store, actions, names, seen, comments } = context;
  const { texts } = store;
  const picker = createPicker({
    names,
    onChoose: (number) => go({ revision: number, file: place?.file ?? null }),
    onMore: () => actions.attempt(() => texts.more(proposal.id)),
    onRestore: restore,
  });
  const files = createFiles();
  const notice = h("div.text-notice", { hidden: true, role: "status" });
  const rendered = modeButton("Rendered", false);
  const source = modeButton("Source", true);
  const edit = h("button.small.edit-button", { type: "button", hidden: true }, "Edit");
  const modes = h("div.modes", { role: "group", "aria-label": "How the file is shown" }, rendered, source);
  const name = h("h2.file-title");
  const body = h("div.text-body");
  const inline = createInline(context, body);
  const next = h("a.next-file", { hidden: true });
  const editor = createEditor(context, (sent) => {
    if (sent[place.file] === null) go({}); // It was read, and is gone now.
    hasSaved = true;
    store.changed();
  });
  const article = h(
    "div.text-main",
    {},
    h("div.file-head", {}, name, edit, modes),
    editor.element,
    body,
    next,
  );
  const columns = h("div.text-columns", {}, article, files.element);
  const stand = h("div.stand", { hidden: true });
  const element = h(
    "section.text",
    { "aria-label": "Text" },
    picker.element,
    notice,
    stand,
    columns,
  );
  let proposal = null;
  let hasSaved = false;
  let place = null;
  let asSource = sessionStorage.getItem(SOURCE_KEY) === "true";
  let renderer = null;
  let renderProblem = null;
  let drawn = "";
  let standing = "";
  let aimed = "";

  edit.addEventListener("click", startEditing);

  function startEditing() {
    const { phase, list } = texts.revisions(proposal);
    if (!edit.hidden) editor.open(proposal.id, list[0].number);
    else if (phase === "ready" && isEmpty(list[0]) && mayRevise(actions.me(), proposal)) {
      editor.open(proposal.id, list[0]?.number ?? 0, { [FIRST_FILE]: beginningOf(proposal) });
    }
  }

  function modeButton(label, on) {
    const button = h("button.mode", { type: "button", dataset: { mode: String(on) } }, label);
    button.addEventListener("click", () => setMode(on));
    return button;
  }

  function setMode(on) {
    asSource = on;
    sessionStorage.setItem(SOURCE_KEY, String(on));
    store.changed();
  }

  function here(change) {
    return { project: store.project, proposal: proposal.id, view: "text", ...change };
  }

  function go(change) {
    location.hash = addressOf(here(change));
  }

  async function restore(number) {
    const from = location.hash;
    // Whoever went on reading elsewhere meanwhile stays there.
    if ((await actions.restore(proposal.id, number)) && location.hash === from) go({});
  }

  function showInstead(key, make) {
    show(columns, false);
    show(stand, true);
    if (standing === key) return;
    standing = key;
    fill(stand, make());
  }

  function retry() {
    texts.retry();
    store.changed();
  }

  function needRenderer() {
    if (renderer || renderProblem) return;
    renderProblem = "loading";
    loadMarkdown().then(
      (loaded) => {
        renderer = loaded;
        renderProblem = null;
        store.changed();
      },
      () => {
        renderProblem = "missing";
        store.changed();
      },
    );
  }

  /** The revision that is asked for, or what stands in its place. */
  function revisionShown() {
    const known = texts.revisions(proposal);
    show(picker.element, known.list.length > 0);
    if (known.list.length === 0) {
      show(notice, false);
      if (known.phase === "failed") {
        showInstead(`failed ${known.error.message}`, () => failed(known.error, retry));
      } else if (known.phase === "loading") {
        showInstead("loading", () => loading("the text"));
      } else if (editor.isOpen(proposal.id)) {
        drawEditor(NO_REVISION, { path: FIRST_FILE, text: null }, []);
      } else {
        const mayWrite = mayRevise(actions.me(), proposal);
        show(edit, false);
        showInstead(`none ${proposal.id} ${mayWrite}`, () => noText(proposal, names, mayWrite && startEditing));
        backFromEditing();
      }
      return null;
    }
    if (place.revision === null) return { known, revision: known.list[0] };
    const one = texts.revision(proposal, place.revision);
    if (one.value) return { known, revision: one.value };
    picker.update(known.list[0], known, { mayRestore: false, sinceAddress: null });
    if (one.phase === "failed") {
      showInstead(`no ${place.revision}`, () =>
        nothing(one.error.message, h("a", { href: addressOf(here({})) }, "Read the newest one")),
      );
    } else showInstead("loading", () => loading("the revision"));
    return null;
  }

  function drawNotice(known, revision) {
    const newest = known.list[0];
    const looked = seen.before(proposal.id, newest.number);
    const parts = [];
    if (revision.number !== newest.number) {
      parts.push(
        h("span", {}, `You are reading an earlier text. The newest is revision ${newest.number}.`),
        h("a", { href: addressOf(here({ file: place.file })) }, "Read the newest"),
      );
    } else if (looked < newest.number) {
      parts.push(
        h("span", {}, `Changed since you last looked, at revision ${looked}.`),
        h("a", { href: addressOf(here({ view: "changes", against: looked })) }, "See what changed"),
      );
    }
    if (!asSource && renderProblem === "missing") parts.push(h("span", {}, NO_RENDERER));
    if (proposal.status === "archived") {
      parts.push(h("span", {}, "This proposal is archived: its text stays as it is."));
    }
    const words = parts.map((each) => each.textContent).join();
    show(notice, parts.length > 0);
    if (notice.dataset.words === words) return;
    notice.dataset.words = words;
    fill(notice, parts.length > 0 && icon("info"), h("p", {}, parts.flatMap((each) => [each, " "])));
  }

  /** @param {{path: string, text: string | null}} file text: null until it is read, or where there is none */
  function drawEditor(revision, file, paths) {
    standing = "";
    show(stand, false);
    show(columns, true);
    for (const other of [edit, modes, body, next]) show(other, false);
    show(files.element, paths.length > 0);
    show(editor.element, true);
    name.textContent = "Editing";
    drawn = "";
    editor.update(proposal, revision, file, paths);
  }

  /** Who has saved or discarded goes on where the editing began. */
  function backFromEditing() {
    const next = edit.hidden ? stand.querySelector("button") : edit;
    if (!hasSaved || !next) return;
    hasSaved = false;
    next.focus();
  }

  function drawFile(known, revision, file, ordered) {
    const entry = texts.file(proposal.id, revision, file);
    const isNewest = revision === known.list[0];
    const isEdited = isNewest && editor.isOpen(proposal.id) && entry.phase !== "failed";
    if (isEdited) {
      const text = entry.phase === "ready" ? entry.value : null;
      drawEditor(revision, { path: file.path, text }, ordered.map(({ path }) => path));
      return;
    }
    show(edit, isNewest && mayRevise(actions.me(), proposal));
    if (!edit.hidden) backFromEditing();
    for (const each of [modes, body, files.element]) show(each, true);
    show(editor.element, false);
    const isMarkdown = file.path.endsWith(".md");
    if (isMarkdown && !asSource) needRenderer();
    const waits = isMarkdown && !asSource && renderProblem === "loading";
    const plain = asSource || !isMarkdown || renderProblem === "missing";
    const shown = waits ? "loading" : entry.phase;
    const key = JSON.stringify([proposal.id, revision.number, file.path, shown, plain, entry.error?.message]);
    for (const button of [rendered, source]) {
      button.setAttribute("aria-pressed", String((button.dataset.mode === "true") === plain));
      show(button, isMarkdown);
    }
    if (key !== drawn) {
      drawn = key;
      name.textContent = file.path;
      body.className = `text-body ${plain ? "as-source" : "prose"}`;
      if (shown === "loading") fill(body, loading(file.path));
      else if (shown === "failed") fill(body, failed(entry.error, retry));
      else if (entry.value === "") fill(body, h("p.muted", {}, "This file is empty."));
      else if (plain) fill(body, sourceOf(entry.value, { path: file.path, onLine: inline.onLine }));
      else fill(body, renderer.file(entry.value, (path) => addressOfLink(path, file, ordered)));
      files.outline(plain ? [] : [...body.querySelectorAll(".md-heading")]);
      if (shown === "ready") {
        inline.attach({ plain, path: file.path, text: entry.value, revision, isNewest, proposal });
      }
      drawNext(file, ordered);
      aimed = "";
    }
    if (shown !== "ready") return;
    inline.update(threadsOf(proposal.comments), { proposal, isNewest });
    aim();
  }

  function addressOfLink(path, from, ordered) {
    const folder = from.path.split("/").slice(0, -1);
    for (const part of decodeURI(path).split("/")) {
      if (part === "..") folder.pop();
      else if (part !== "." && part !== "") folder.push(part);
    }
    const wanted = folder.join("/");
    const known = ordered.some((each) => each.path === wanted);
    return known ? addressOf(here({ file: wanted, revision: place.revision })) : null;
  }

  function drawNext(file, ordered) {
    const following = ordered[ordered.findIndex(({ path }) => path === file.path) + 1];
    show(next, Boolean(following));
    if (!following) return;
    fill(next, "Next: ", h("code", {}, following.path));
    next.href = addressOf(here({ file: following.path, revision: place.revision }));
  }

  /** Bring the thread or the line that the address names into view, once. */
  function aim() {
    if (place.line === null && place.thread === null) return;
    const key = `${drawn} ${place.line} ${place.thread}`;
    if (key === aimed) return;
    if (place.thread !== null && !inline.has(place.thread) && !comments.loaded) return;
    aimed = key;
    if (inline.has(place.thread)) {
      inline.aim(place.thread);
      return;
    }
    if (place.line === null) return;
    const target = blockAt(body, place.line);
    if (!target) return;
    target.scrollIntoView({ block: "center" });
    target.classList.add("aimed");
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }

  function drawTasks(revision, ordered) {
    const file = ordered.find(({ path }) => path === "tasks.md");
    const entry = file && texts.file(proposal.id, revision, file);
    const address = addressOf(here({ file: "tasks.md", revision: place.revision }));
    files.tasks(entry?.phase === "ready" ? tasksOf(entry.value) : null, address);
  }

  function update(proposalId, where) {
    proposal = store.state.proposals[proposalId];
    place = where;
    const shown = revisionShown();
    if (!shown) return;
    const { known, revision } = shown;
    const previous = known.list.find(({ number }) => number === revision.number - 1);
    picker.update(revision, known, {
      mayRestore: mayRevise(actions.me(), proposal),
      sinceAddress: previous
        ? addressOf(here({ view: "changes", revision: place.revision, against: previous.number }))
        : null,
    });
    drawNotice(known, revision);
    const ordered = readingOrder(revision.files);
    const isEdited = revision === known.list[0] && editor.isOpen(proposal.id);
    const wanted = ordered.find(({ path }) => path === place.file);
    // Whoever edits goes on, also where somebody else removed the file meanwhile.
    const file = wanted ?? (place.file && !isEdited ? null : ordered[0]);
    if (!file && isEdited) {
      drawEditor(revision, { path: FIRST_FILE, text: null }, []);
      return;
    }
    if (!file) {
      show(edit, false);
      const mayWrite = isEmpty(known.list[0]) && mayRevise(actions.me(), proposal);
      showInstead(`no file ${place.file} ${revision.number} ${mayWrite}`, () =>
        noFile(place.file, revision, here({ revision: place.revision }), mayWrite && startEditing),
      );
      backFromEditing();
      return;
    }
    standing = "";
    show(stand, false);
    show(columns, true);
    drawFile(known, revision, file, ordered);
    drawTasks(revision, ordered);
    files.update(
      revision,
      ordered,
      file.path,
      (path) => addressOf(here({ file: path, revision: place.revision })),
      openByFile(proposal.comments),
    );
    if (!document.hidden && revision === known.list[0]) seen.set(proposalId, revision.number);
  }

  return {
    element,
    update,
    edit: startEditing,
    toggleSource: () => setMode(!asSource),
    comment: inline.comment,
    /** @param {1 | -1} step to the file after or before */
    step(by) {
      const { revision } = revisionShown() ?? {};
      if (!revision) return;
      const ordered = readingOrder(revision.files);
      const at = place.file ? ordered.findIndex(({ path }) => path === place.file) : 0;
      const file = ordered[at + by];
      if (file) go({ file: file.path, revision: place.revision });
    },
    picker: picker.select,
  };
}

/** The block of what is shown that a line of the source is in. */
export function blockAt(body, line) {
  let found = null;
  for (const block of body.querySelectorAll("[data-line]")) {
    if (Number(block.dataset.line) > line) break;
    found = block;
  }
  return found;
}

function isEmpty(revision) {
  return (revision?.files ?? []).length === 0;
}

/** What OpenSpec looks for in a proposal. */
function beginningOf({ id, title }) {
  return `# ${title || id}\n\n## Why\n\n\n## What Changes\n\n- \n`;
}

/** @param {(() => void) | false} write */
function writeButton(write) {
  return write && h("div.empty-actions", {}, h("button.primary", { type: "button", onclick: write }, "Write the first file"));
}

/** @param {(() => void) | false} write what begins the text, for those who may */
function noText(proposal, names, write) {
  const maker = proposal.created_by || proposal.author;
  return nothing(
    "No text yet",
    "This proposal has no files in the workspace. Its text appears here as soon as there are some:",
    h("pre.code", { tabIndex: 0 }, `openspec/changes/${proposal.id}/proposal.md`),
    `The proposal was made known by ${names.of(maker)}, ${timeOf(proposal.created_at)}.`,
    writeButton(write),
  );
}

function noFile(path, revision, here, write) {
  if (isEmpty(revision)) return nothing("This revision has no files", writeButton(write));
  return nothing(
    `Revision ${revision.number} has no file ${path}`,
    h("a", { href: addressOf(here) }, "See what it has"),
  );
}

