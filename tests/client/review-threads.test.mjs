import assert from "node:assert/strict";
import { test } from "node:test";
import { lineIn, openByFile, openThreads, placeWords, threadsOf } from "../../static/app/review/threads.js";

const comment = (id, more = {}) => ({ id, anchor: null, reply_to: null, resolved: null, ...more });
const anchor = { revision: 1, path: "a.md", line: 4, heading: "Why", quote: null };

test("comments are threads, answers with what they answer, the same for the same comments", () => {
  const comments = [
    comment("a", { anchor }),
    comment("b"),
    comment("c", { reply_to: "a" }),
    comment("d", { reply_to: "c" }),
    comment("e", { reply_to: "gone" }),
    comment("f", { anchor, resolved: { by: "ben" } }),
  ];
  const threads = threadsOf(comments);
  assert.deepEqual(
    threads.map(({ id, root, replies }) => [id, root?.id ?? null, replies.map((reply) => reply.id)]),
    [["a", "a", ["c", "d"]], ["b", "b", []], ["gone", null, ["e"]], ["f", "f", []]],
  );
  assert.equal(threadsOf(comments), threads);
  assert.deepEqual(openThreads(comments).map(({ id }) => id), ["a"]);
  assert.deepEqual([...openByFile(comments)], [["a.md", 1]]);
  assert.deepEqual(threadsOf(undefined), []);
});

test("comments that answer each other in a circle end all the same", () => {
  const comments = [comment("a", { reply_to: "b" }), comment("b", { reply_to: "a" })];
  assert.equal(threadsOf(comments).flatMap(({ root, replies }) => [root, ...replies]).length >= 2, true);
});

test("a thread stands where its place is in the revision that is shown", () => {
  const [thread] = threadsOf([comment("a", { anchor, place: { revision: 3, line: 9 } })]);
  assert.equal(lineIn(thread, { number: 1 }, false), 4);
  assert.equal(lineIn(thread, { number: 2 }, false), null);
  assert.equal(lineIn(thread, { number: 3 }, true), 9);
  const [outdated] = threadsOf([comment("b", { anchor, place: null, outdated: true })]);
  assert.deepEqual([lineIn(outdated, { number: 3 }, true), outdated.outdated], [null, true]);
  assert.equal(placeWords(anchor), "a.md, “Why”");
  assert.equal(placeWords({ ...anchor, heading: null }), "a.md, line 4");
});
