/** What a revision consists of: its files, how far its tasks are, and the headings of the open one. */
import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { changeOf, sizeOf } from "./revision-words.js";

const MAX_HEADINGS = 60;

export function createFiles() {
  const list = h("ul.file-list");
  const removed = h("p.muted.files-note", { hidden: true });
  const tasks = h("div.tasks-box", { hidden: true });
  const outline = h("ul.outline-list");
  const outlineBox = h(
    "nav.outline",
    { "aria-label": "Headings of this file", hidden: true },
    h("h3", {}, "On this page"),
    outline,
  );
  const element = h(
    "aside.files",
    { "aria-label": "Files" },
    h("nav", { "aria-label": "Files of this revision" }, h("h3", {}, "Files"), list, removed),
    tasks,
    outlineBox,
  );
  let drawn = "";
  return {
    element,
    /**
     * @param {object} revision
     * @param {object[]} files in the order in which they are shown
     * @param {string} current path of the one that is open
     * @param {(path: string) => string} addressOfFile
     * @param {Map<string, number>} threads open ones, by path
     */
    update(revision, files, current, addressOfFile, threads) {
      const key = JSON.stringify([revision.digest, revision.number, current, [...threads]]);
      if (key === drawn) return;
      drawn = key;
      fill(
        list,
        files.map((file) => row(file, revision, current, addressOfFile, threads.get(file.path) ?? 0)),
      );
      const gone = revision.removed ?? [];
      const left = Object.entries(revision.left_out ?? {});
      removed.hidden = gone.length === 0 && left.length === 0;
      fill(
        removed,
        gone.length > 0 && `Removed since the revision before: ${gone.join(", ")}. `,
        left.length > 0 && `Not shown: ${left.map(([path, why]) => `${path} (${why})`).join(", ")}.`,
      );
    },
    /** @param {{completed: number, total: number} | null} progress */
    tasks(progress, address) {
      tasks.hidden = !progress || progress.total === 0;
      const words = progress ? `${progress.completed} of ${count(progress.total, "task")} done` : "";
      if (tasks.dataset.words === words) return;
      tasks.dataset.words = words;
      if (tasks.hidden) return;
      fill(
        tasks,
        h("h3", {}, "Tasks"),
        h("progress", { max: progress.total, value: progress.completed, "aria-label": words }),
        h("a", { href: address }, words),
      );
    },
    /** @param {HTMLElement[]} headings as they are shown */
    outline(headings) {
      const shown = headings.slice(0, MAX_HEADINGS);
      outlineBox.hidden = shown.length < 3;
      const levels = shown.map((each) => Number(/md-(\d)/.exec(each.className)?.[1] ?? 1));
      const top = Math.min(...levels);
      fill(
        outline,
        shown.map((heading, at) => {
          const go = () => {
            heading.tabIndex = -1;
            heading.focus({ preventScroll: true });
            heading.scrollIntoView({ block: "start" });
          };
          return h(
            `li.outline-${Math.min(3, levels[at] - top)}`,
            {},
            h("button.outline-link", { type: "button", onclick: go }, heading.textContent),
          );
        }),
      );
    },
  };
}

function row(file, revision, current, addressOfFile, threads) {
  const change = changeOf(file, revision);
  const slash = file.path.lastIndexOf("/") + 1;
  return h(
    "li",
    {},
    h(
      "a.file-link",
      {
        href: addressOfFile(file.path),
        "aria-current": file.path === current ? "page" : null,
        title: `${file.path}, ${sizeOf(file.size_bytes)}`,
      },
      h(
        "span.file-name",
        {},
        slash > 0 && h("span.file-folder", {}, file.path.slice(0, slash)),
        h("span", {}, file.path.slice(slash)),
      ),
      change && h("span.file-change", {}, change),
      threads > 0 && h("span.file-threads", { title: count(threads, "open thread") }, String(threads)),
    ),
  );
}
