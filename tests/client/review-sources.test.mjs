import { ApiError } from "../../static/client/index.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import MarkdownIt from "markdown-it";
import { createMarkdown } from "../../static/app/review/markdown.js";
import { Resources } from "../../static/app/review/resources.js";
import {
  fileOfFinding,
  headingAt,
  headingsOf,
  quoteIn,
  readingOrder,
  tasksOf,
} from "../../static/app/review/sources.js";
import { Texts } from "../../static/app/review/texts.js";

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("tasks and headings are those outside of code blocks", () => {
  const text = "# One\n\n- [x] a\n- [ ] b\n```md\n- [x] c\n## No\n```\n## Two ##\n* [X] d\n";
  assert.deepEqual(tasksOf(text), { completed: 2, total: 3 });
  assert.deepEqual(headingsOf(text), [
    { line: 1, level: 1, text: "One" },
    { line: 9, level: 2, text: "Two" },
  ]);
  assert.equal(headingAt(text, 8).text, "One");
  assert.equal(headingAt("none", 1), null);
});

test("a quote of what is shown is found in the source, marks and breaks between its words", () => {
  const text = "# A\n\nA **returned** copy of a\nreserved `title` is kept.\n\nA returned copy\n";
  assert.deepEqual(quoteIn(text, "returned copy of a reserved title"), {
    quote: "returned** copy of a\nreserved `title",
    line: 3,
  });
  assert.deepEqual(quoteIn(text, "A returned copy", 5), { quote: "A returned copy", line: 6 });
  assert.equal(quoteIn(text, "something else"), null);
  assert.deepEqual(quoteIn("a (b) [c] $d^ x|y", "(b) [c] $d^ x|y").line, 1);
});

test("files stand in the order in which they are read, and findings lead to them", () => {
  const files = ["tasks.md", "x.md", "specs/b/spec.md", "design.md", "specs/a/spec.md", "proposal.md"].map(
    (path) => ({ path }),
  );
  assert.deepEqual(
    readingOrder(files).map(({ path }) => path),
    ["proposal.md", "specs/a/spec.md", "specs/b/spec.md", "design.md", "tasks.md", "x.md"],
  );
  assert.equal(fileOfFinding("a/spec.md", files), "specs/a/spec.md");
  assert.equal(fileOfFinding("a", files), "specs/a/spec.md");
  assert.equal(fileOfFinding("proposal", files), "proposal.md");
  assert.equal(fileOfFinding("nowhere", files), null);
});

test("blocks say their line, headings leave no level out, raw HTML is text", () => {
  const markdown = createMarkdown(MarkdownIt);
  const html = markdown.render(
    "### Deep\n\n<script>x</script> ![p](http://x/p.png) [j](javascript:x)\n\n##### Deeper\n\n# Top\n\n|a|\n|:-:|\n|b|\n",
    { headings: 2 },
  );
  assert.match(html, /<h2 data-line="1" class="md-heading md-3">Deep<\/h2>/);
  assert.match(html, /<h3 data-line="5" class="md-heading md-5">Deeper<\/h3>/);
  assert.match(html, /<h2 data-line="7" class="md-heading md-1">Top<\/h2>/);
  assert.match(html, /&lt;script&gt;/);
  assert.doesNotMatch(html, /<img|<script|href="javascript|style=/);
  assert.match(html, /<td class="align-center">/);
  const said = markdown.render("# Not a heading\n\nwords", { headings: null });
  assert.match(said, /^<p [^>]*>Not a heading<\/p>/);
  assert.doesNotMatch(said, /data-line/, "it would be taken for a line of the file it stands in");
});

test("what was fetched is asked for once, and a failure again when that is asked for", async () => {
  let asked = 0;
  let changes = 0;
  const resources = new Resources(() => (changes += 1));
  const load = async () => {
    asked += 1;
    if (asked === 1) throw new Error("away");
    return "text";
  };
  assert.equal(resources.get("a", load).phase, "loading");
  assert.equal(resources.get("a", load).phase, "loading");
  await settled();
  assert.equal(resources.get("a", load).phase, "failed");
  assert.equal(asked, 1);
  resources.retry();
  resources.get("a", load);
  await settled();
  assert.deepEqual([resources.get("a", load).value, asked], ["text", 2]);
  assert.ok(changes >= 3);
});

test("revisions are asked for when there are newer ones, unless an event brought them", async () => {
  const paths = [];
  let newest = 2;
  const texts = new Texts(
    async (_method, path) => {
      paths.push(path);
      return {
        revisions: Array.from({ length: newest }, (_, at) => ({ number: newest - at })),
        more: false,
      };
    },
    () => {},
    (work) => queueMicrotask(work),
  );
  const at = (number) => ({ id: "p", revision: number && { number } });
  assert.equal(texts.revisions(at(null)).phase, "loading");
  await settled();
  assert.equal(texts.revisions(at(2)).list[0].number, 2);
  assert.equal(paths.length, 1);
  texts.heard({ proposal_id: "p", revision: { number: 3 } });
  assert.equal(texts.revisions(at(3)).list[0].number, 3);
  assert.equal(paths.length, 1);
  newest = 5;
  texts.revisions(at(5));
  texts.revisions(at(5));
  await settled();
  assert.deepEqual(texts.revisions(at(5)).list.map(({ number }) => number), [5, 4, 3, 2, 1]);
  assert.equal(paths.length, 2);
});

test("a text that is asked for ahead is not asked for again, unless it could not be had", async () => {
  const paths = [];
  let isRefused = false;
  const texts = new Texts(
    async (_method, path) => {
      paths.push(path);
      if (isRefused) throw new ApiError(404, { detail: "There is no such proposal." });
      if (path.includes("/files/")) return "# Why";
      return { revisions: [{ number: 1, files: [{ path: "tasks.md", sha256: "t" }, { path: "proposal.md", sha256: "p" }] }], more: false };
    },
    () => {},
  );
  const proposal = { id: "p", created_at: "2026-01-01", revision: { number: 1 } };
  await texts.ahead("p", { revision: null, file: null });
  await settled();
  assert.deepEqual(paths, ["/proposals/p/revisions?limit=30", "/proposals/p/revisions/1/files/proposal.md"]);
  const { phase, list } = texts.revisions(proposal);
  assert.equal(phase, "ready");
  assert.equal(texts.file("p", list[0], list[0].files[1]).value, "# Why");
  assert.equal(paths.length, 2);
  // Of another proposal of that name nothing is known.
  assert.equal(texts.revisions({ ...proposal, created_at: "2026-01-02" }).phase, "loading");
  isRefused = true;
  await texts.ahead("q", { revision: null, file: null });
  isRefused = false;
  assert.equal(texts.revisions({ ...proposal, id: "q" }).phase, "loading");
  await settled();
  assert.equal(texts.revisions({ ...proposal, id: "q" }).phase, "ready");
});
