/**
 * Markdown as elements. Raw HTML in it is text, links lead out only where they say so, and what comes
 * out is sanitised besides, since whoever can write to a workspace writes what is shown here.
 *
 * Each block says at which line of the source it begins (`data-line`, from 1), so that a place in the
 * source can be found in what is shown, and the other way round.
 */
import { nextTask } from "../dom.js";

const MARKDOWN_IT = "/static/vendor/markdown-it.esm.min.mjs";
/** Half as large as the module beside it; it puts itself into the global scope. */
const DOMPURIFY = "/static/vendor/purify.min.js";
const TASK = /^\[([ xX])\][ \t]/;

let loading = null;

/**
 * The renderer, loaded when it is first asked for.
 *
 * @returns {Promise<{file: Function, comment: Function}>} rejected where the server has no libraries
 */
export function loadMarkdown() {
  loading ??= Promise.all([import(MARKDOWN_IT), import(DOMPURIFY)]).then(
    async ([{ default: MarkdownIt }]) => {
      await nextTask(); // Both have just been run, and rendering takes a while too.
      return createRenderer(MarkdownIt, globalThis.DOMPurify);
    },
  );
  loading.catch(() => {
    loading = null; // The next one tries again.
  });
  return loading;
}

const ALLOWED = {
  ALLOWED_TAGS: (
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul"
  ).split(" "),
  ALLOWED_ATTR: ["class", "href", "start", "data-line"],
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

function createRenderer(MarkdownIt, DOMPurify) {
  const markdown = createMarkdown(MarkdownIt);
  const render = (text, env, linkOf) => {
    const fragment = DOMPurify.sanitize(markdown.render(text, env), ALLOWED);
    mendLinks(fragment, linkOf);
    markTasks(fragment);
    return fragment;
  };
  return {
    /**
     * A file. Its headings stand below the page's own, none is left out between two.
     *
     * @param {string} text
     * @param {(path: string) => string | null} linkOf the address of a file that is linked to
     * @returns {DocumentFragment}
     */
    file: (text, linkOf) => render(text, { headings: 2 }, linkOf),
    /** What somebody says: its headings are none of the page. */
    comment: (text) => render(text, { headings: null }, () => null),
  };
}

/** The parser; `env.headings` is the level of the outermost heading, or null for none at all. */
export function createMarkdown(MarkdownIt) {
  // A picture would be loaded from elsewhere, which the page may not: it becomes a link.
  const markdown = new MarkdownIt({ html: false, linkify: false }).disable("image");
  markdown.core.ruler.push("places", ({ tokens, env }) => {
    const isFile = env.headings != null;
    placeBlocks(tokens, isFile);
    placeHeadings(tokens, isFile ? env.headings : null);
  });
  return markdown;
}

function placeBlocks(tokens, isFile) {
  for (const token of tokens) {
    // A comment stands amid the blocks of a file, and its lines are none of the file's.
    if (isFile && token.map && token.nesting >= 0 && token.type !== "inline") {
      token.attrSet("data-line", String(token.map[0] + 1));
    }
    const align = /^text-align:(\w+)$/.exec(token.attrGet("style") ?? "")?.[1];
    if (align) {
      // Styles in attributes are not allowed here (Content-Security-Policy).
      token.attrs = token.attrs.filter(([name]) => name !== "style");
      token.attrJoin("class", `align-${align}`);
    }
  }
}

function placeHeadings(tokens, top) {
  const open = [];
  for (const token of tokens) {
    if (!token.type.startsWith("heading_")) continue;
    const depth = token.markup.startsWith("#") ? token.markup.length : Number(token.tag[1]);
    const level = token.markup === "=" ? 1 : token.markup === "-" ? 2 : depth;
    if (token.nesting > 0) {
      while (open.length > 0 && open.at(-1) >= level) open.pop();
      open.push(level);
      token.attrJoin("class", `md-heading md-${level}`);
    }
    token.tag = top === null ? "p" : `h${Math.min(6, top + open.length - 1)}`;
  }
}

function mendLinks(fragment, linkOf) {
  for (const link of fragment.querySelectorAll("a")) {
    const href = link.getAttribute("href") ?? "";
    if (/^(https?|mailto):/i.test(href)) {
      link.rel = "noopener noreferrer nofollow";
      link.target = "_blank";
      continue;
    }
    // What is relative is so to the file, never to this page.
    const address = /^[a-z][a-z0-9+.-]*:|^[/#]/i.test(href) ? null : linkOf(href.split("#")[0]);
    if (address === null) link.removeAttribute("href");
    else link.setAttribute("href", address);
  }
}

function markTasks(fragment) {
  for (const item of fragment.querySelectorAll("li")) {
    const first = item.firstChild?.nodeName === "P" ? item.firstChild.firstChild : item.firstChild;
    const found = first?.nodeType === Node.TEXT_NODE && TASK.exec(first.data.trimStart());
    if (!found) continue;
    const isDone = found[1] !== " ";
    first.data = first.data.trimStart().slice(found[0].length);
    const mark = document.createElement("span");
    mark.className = "task-mark";
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", isDone ? "Done:" : "To do:");
    item.classList.add("task", isDone ? "is-done" : "is-open");
    first.before(mark);
  }
}
