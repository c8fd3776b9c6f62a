/** Changes files of a proposal as they are written; all that was changed becomes one revision. */
import { addressOf } from "../address.js";
import { fill, h, setText, show } from "../dom.js";
import { count } from "../format.js";
import { confirm } from "./confirm.js";
import { Edits, placeFor, textOf } from "./edits.js";
import { refusalOf } from "./refusals.js";

const MAX_NOTE = 1_000;
const HINT = "Markdown, as it is written. What you type is kept in this tab until you save it.";
const NOT_KEPT = "It is too large to be kept over a reload: save it before you leave.";

/**
 * @param {object} context {store, actions, drafts}
 * @param {(sent: Record<string, string | null>) => void} onClosed the editor is not needed any more; by
 *   path what was saved
 */
export function createEditor(context, onClosed) {
  const { store, drafts } = context;
  const edits = new Edits(drafts);
  const label = h("label", { htmlFor: "edited-text" });
  const field = h("textarea.edited-text", { id: "edited-text", rows: 18, spellcheck: true, dir: "auto" });
  const hint = h("p.hint");
  const remove = h("button.small", { type: "button" });
  const undo = h("button.small", { type: "button" }, "Undo my changes of this file");
  const newPath = h("input", { id: "new-path", type: "text", maxLength: 1024, placeholder: "specs/fees/spec.md" });
  const add = h("button.small", { type: "button" }, "Add");
  const upload = h("input", { id: "uploaded", type: "file", multiple: true });
  const changed = h("ul.edited-files", { "aria-label": "Changed files" });
  const moved = h("div.run-problem.mild", { role: "status", hidden: true });
  const problem = h("div.run-problem", { role: "alert", hidden: true });
  const note = h("input", { id: "edit-note", type: "text", maxLength: MAX_NOTE });
  const save = h("button.primary", { type: "submit" }, "Save");
  const discard = h("button.quiet", { type: "button" }, "Discard");
  const element = h(
    "form.editor",
    { hidden: true },
    moved,
    label,
    field,
    h("div.form-foot", {}, hint, h("div.composer-buttons", {}, undo, remove)),
    h("div.editor-row", {}, h("label", { htmlFor: "new-path" }, "Add a file"), newPath, add),
    h("div.editor-row", {}, h("label", { htmlFor: "uploaded" }, "Upload, or drop here"), upload),
    changed,
    h("div.editor-row", {}, h("label", { htmlFor: "edit-note" }, "What you changed (optional)"), note),
    problem,
    h("div.composer-buttons", {}, save, discard),
  );
  /** {proposal, newest, path, original (null: the newest has no such file), paths} */
  let now = null;
  let asked = null;
  let wantsFocus = false;
  let shown = "";
  let drawnMoved = "";
  let sending = false;

  const edit = () => edits.of(now.proposal.id);
  const textNow = () => (now.path in edit().files ? edit().files[now.path] : now.original);

  function complain(title, ...more) {
    show(problem, Boolean(title));
    if (title) fill(problem, h("p", {}, h("strong", {}, title)), more);
  }

  function change(path, text) {
    edits.set(now.proposal.id, path, text);
    store.changed();
  }

  /** A file of the revision is read by its address; one that is added has none yet. */
  function openFile(path) {
    now.path = path;
    shown = "";
    const view = { project: store.project, proposal: now.proposal.id, view: "text", file: path };
    if (now.paths.includes(path)) location.hash = addressOf(view);
    wantsFocus = true;
    store.changed();
  }

  field.addEventListener("input", () => {
    change(now.path, field.value === now.original ? undefined : field.value);
  });
  undo.addEventListener("click", () => {
    shown = "";
    change(now.path, undefined);
    field.focus();
  });
  remove.addEventListener("click", () => {
    shown = "";
    change(now.path, now.original === null ? undefined : null);
    undo.focus();
  });
  newPath.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addFile();
  });
  add.addEventListener("click", addFile);
  upload.addEventListener("change", async () => {
    await take([...upload.files]);
    upload.value = "";
  });
  element.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  element.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length === 0) return;
    event.preventDefault();
    void take([...event.dataTransfer.files]);
  });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  discard.addEventListener("click", async () => {
    const many = Object.keys(edit().files).length;
    const question = {
      title: "Discard what you changed?",
      words: `${count(many, "file")} as you changed ${many === 1 ? "it" : "them"} would be lost.`,
      action: "Discard",
    };
    if (many === 0 || (await confirm(question))) close();
  });

  function addFile() {
    const path = newPath.value.trim();
    if (path === "") {
      complain("Say where the file is to be, such as specs/fees/spec.md.");
      newPath.focus();
      return;
    }
    complain("");
    newPath.value = "";
    const isThere = now.paths.includes(path) || typeof edit().files[path] === "string";
    if (!isThere) change(path, "");
    openFile(path);
  }

  async function take(files) {
    const about = now.proposal.id;
    const wrong = [];
    let last = null;
    for (const file of files) {
      try {
        const text = await textOf(file);
        if (now.proposal.id !== about || edit() === null) return;
        last = placeFor(file.name, [...now.paths, ...Object.keys(edit().files)]);
        edits.set(about, last, text);
      } catch (error) {
        wrong.push(error.message);
      }
    }
    complain(wrong.join(" "));
    if (last !== null) openFile(last);
  }

  async function send() {
    const { id } = now.proposal;
    const { base, files } = edit();
    if (sending) return;
    if (Object.keys(files).length === 0) {
      complain("Nothing is changed yet.");
      return;
    }
    complain("");
    sending = true;
    save.setAttribute("aria-disabled", "true");
    try {
      const body = { base, files, note: note.value.trim() || undefined };
      const path = `/proposals/${encodeURIComponent(id)}/revisions`;
      const revision = await store.api.request("POST", path, { body });
      store.texts.heard({ proposal_id: id, revision }); // Its event may come later.
      edits.end(id);
      if (now.proposal.id === id) close(files);
    } catch (error) {
      const { title, detail } = refusalOf(error);
      if (now.proposal.id === id) complain(title, detail && h("p.refusal-detail", {}, detail));
    } finally {
      sending = false;
      save.setAttribute("aria-disabled", "false");
    }
    store.changed();
  }

  function close(sent = {}) {
    edits.end(now.proposal.id);
    note.value = "";
    complain("");
    show(element, false);
    onClosed(sent);
  }

  /** Somebody else's revision came: what was changed by both is not to be lost unseen. */
  function drawMoved() {
    const { base } = edit();
    const newest = now.newest.number;
    show(moved, newest !== base);
    const key = `${now.proposal.id} ${base} ${newest}`;
    if (key === drawnMoved) return;
    drawnMoved = key;
    if (newest === base) return;
    const view = { project: store.project, proposal: now.proposal.id, view: "changes", against: base || null };
    const keep = h("button.small", { type: "button" }, `Go on from revision ${newest}`);
    keep.addEventListener("click", () => {
      edits.rebase(now.proposal.id, newest);
      complain("");
      store.changed();
      field.focus();
    });
    fill(
      moved,
      h("p", {}, h("strong", {}, `The text has changed since you began: it is revision ${newest} now. `)),
      h(
        "p",
        {},
        "Files that only you changed can be saved. Where a file was changed by both, yours takes the place of theirs once you go on from there: ",
        h("a", { href: addressOf(view) }, "compare them first"),
        ". ",
        keep,
      ),
    );
  }

  function drawFile() {
    const text = textNow();
    const key = JSON.stringify([now.proposal.id, now.path, text === null]);
    setText(label, now.path);
    const isChanged = now.path in edit().files;
    show(undo, isChanged && now.original !== null);
    show(remove, text !== null);
    setText(remove, now.original === null ? "Do not add this file" : "Delete this file");
    const gone = now.original === null ? "It is not added." : "It goes when you save.";
    setText(hint, text === null ? gone : edits.isKept(now.proposal.id) ? HINT : NOT_KEPT);
    field.readOnly = text === null;
    if (key === shown) return;
    shown = key;
    field.value = text ?? "";
    field.setSelectionRange(0, 0); // Else one begins where the text ends.
  }

  function drawChanged() {
    const files = Object.entries(edit().files);
    const words = JSON.stringify(files.map(([path, text]) => [path, text === null, now.paths.includes(path)]));
    if (changed.dataset.words === words) return;
    changed.dataset.words = words;
    fill(
      changed,
      files.map(([path, text]) => {
        const what = text === null ? "deleted" : now.paths.includes(path) ? "changed" : "new";
        const open = h("button.small", { type: "button" }, `${path} (${what})`);
        open.addEventListener("click", () => openFile(path));
        return h("li", {}, open);
      }),
    );
  }

  return {
    element,
    isOpen: (id) => edits.of(id) !== null,
    /** @param {Record<string, string>} [files] what it begins with, where nothing is edited yet */
    open(id, base, files = {}) {
      if (edits.of(id) === null) {
        edits.begin(id, base);
        for (const [path, text] of Object.entries(files)) edits.set(id, path, text);
      }
      wantsFocus = true;
      store.changed();
    },
    /**
     * @param {object} proposal
     * @param {{number: number}} newest its newest revision
     * @param {{path: string, text: string | null}} file that the address names; text: null until it is read,
     *   or where the newest revision has no such file
     * @param {string[]} paths of the newest revision
     */
    update(proposal, newest, { path, text }, paths) {
      const key = `${proposal.id} ${path}`;
      if (key !== asked) {
        asked = key;
        if (now?.proposal.id !== proposal.id) note.value = "";
        now = { path };
        shown = "";
        complain("");
      }
      now = { ...now, proposal, newest, paths, original: now.path === path ? text : null };
      const isReady = now.path !== path || text !== null || !paths.includes(path);
      show(element, isReady);
      if (!isReady) return;
      drawMoved();
      drawFile();
      drawChanged();
      // What is not shown yet takes no focus, however many frames one waits for it.
      if (wantsFocus) field.focus();
      wantsFocus = false;
    },
  };
}
