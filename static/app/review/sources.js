/** What a Markdown source says of itself: its tasks and its headings. Pure. */

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const TASK = /^\s*[-*+]\s+\[([ xX])\]\s/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$/;

/** Lines with their numbers from 1, but for those of code blocks (CommonMark section 4.5). */
function* plainLines(text) {
  let fence = null;
  let n = 0;
  for (const line of text.split("\n")) {
    n += 1;
    const mark = FENCE.exec(line)?.[1];
    if (fence === null) {
      if (mark) fence = mark;
      else yield { n, line: line.replace(/\r$/, "") };
    } else if (mark?.startsWith(fence) && line.trim() === mark) {
      fence = null;
    }
  }
}

/** @returns {{completed: number, total: number}} the check boxes of a list of tasks */
export function tasksOf(text) {
  const marks = [...plainLines(text)].map(({ line }) => TASK.exec(line)?.[1]).filter(Boolean);
  return { completed: marks.filter((mark) => mark !== " ").length, total: marks.length };
}

/** @returns {{line: number, level: number, text: string}[]} */
export function headingsOf(text) {
  return [...plainLines(text)].flatMap(({ n, line }) => {
    const found = HEADING.exec(line);
    return found && found[2] !== "" ? [{ line: n, level: found[1].length, text: found[2] }] : [];
  });
}

/** The heading that a line stands under; null where there is none. */
export function headingAt(text, line) {
  return headingsOf(text).findLast((heading) => heading.line <= line) ?? null;
}

const ORDER = ["proposal.md", "specs/", "design.md", "tasks.md"];

/** The files of a proposal in the order in which they are read. */
export function readingOrder(files) {
  const rank = ({ path }) => {
    const at = ORDER.findIndex((each) => (each.endsWith("/") ? path.startsWith(each) : path === each));
    return at < 0 ? ORDER.length : at;
  };
  return [...files].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
}

/**
 * Where a quote of what is shown stands in the source: the marks of Markdown between its words, and
 * the breaks of its lines, are not shown.
 *
 * @param {string} shown
 * @param {number} [from] the line to look from; of several places the first after it
 * @returns {{quote: string, line: number} | null}
 */
export function quoteIn(text, shown, from = 1) {
  const words = shown.trim().split(/\s+/).filter(Boolean);
  if (words.length === 0 || words.length > 400) return null;
  const escaped = words.map((word) =>
    [...word].map((char) => char.replace(/[\\^$.*+?()[\]{}|/-]/, "\\$&")).join("[*_`~\\\\]*"),
  );
  const pattern = new RegExp(escaped.join("[\\s*_`~>\\\\-]+"), "gu");
  const offset = text.split("\n").slice(0, from - 1).join("\n").length;
  pattern.lastIndex = offset;
  let found = pattern.exec(text);
  if (!found) {
    pattern.lastIndex = 0;
    found = pattern.exec(text);
  }
  if (!found) return null;
  return { quote: found[0], line: text.slice(0, found.index).split("\n").length };
}

/** The file of a proposal that a validator's path means; null where none does. */
export function fileOfFinding(path, files) {
  const name = String(path).split(":")[0];
  const paths = files.map((file) => file.path);
  const wanted = [name, `specs/${name}`, `specs/${name}/spec.md`, `${name}.md`];
  return wanted.find((each) => paths.includes(each)) ?? null;
}
