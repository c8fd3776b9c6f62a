/** What is edited and not sent yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts } from "../../static/app/drafts.js";
import { Edits, MAX_FILE_BYTES, placeFor, textOf } from "../../static/app/review/edits.js";

function storage() {
  const items = new Map();
  return {
    get length() {
      return items.size;
    },
    key: (at) => [...items.keys()][at] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}

test("edits are kept over a reload until they are sent, unless they are large", () => {
  const kept = storage();
  const page = () => new Edits(new Drafts({ user: "ada", project: "p" }, kept));
  const edits = page();
  assert.equal(edits.of("a"), null);
  edits.begin("a", 3);
  edits.begin("a", 9);
  edits.set("a", "x.md", "new");
  edits.set("a", "y.md", null);
  edits.set("a", "z.md", "z");
  edits.set("a", "z.md", undefined);
  assert.deepEqual(page().of("a"), { base: 3, files: { "x.md": "new", "y.md": null } });
  edits.rebase("a", 4);
  assert.equal(page().of("a").base, 4);
  edits.set("a", "x.md", "x".repeat(100_000));
  assert.equal(edits.isKept("a"), false);
  assert.equal(edits.of("a").files["x.md"].length, 100_000);
  assert.equal(page().of("a"), null);
  edits.end("a");
  assert.equal(edits.of("a"), null);
});

test("something else in the place of an edit is none", () => {
  for (const text of ["", "1", "null", '{"base":"1","files":{}}', '{"base":1,"files":null}']) {
    const edits = new Edits({ get: () => text, set: () => {} });
    assert.equal(edits.of("a"), null, text);
  }
});

test("what is uploaded takes the place of the one file of its name", () => {
  const paths = ["proposal.md", "specs/a/spec.md", "specs/b/spec.md", "specs/c/more.md"];
  assert.equal(placeFor("proposal.md", paths), "proposal.md");
  assert.equal(placeFor("more.md", paths), "specs/c/more.md");
  assert.equal(placeFor("spec.md", paths), "spec.md");
  assert.equal(placeFor("new.md", paths), "new.md");
});

test("only texts are uploaded", async () => {
  const file = (bytes, size = bytes.length) => ({ name: "f", size, arrayBuffer: async () => new Uint8Array(bytes).buffer });
  assert.equal(await textOf(file([0xc3, 0xa9])), "\u00e9");
  await assert.rejects(textOf(file([0xff])), /no text in UTF-8/);
  await assert.rejects(textOf(file([], MAX_FILE_BYTES + 1)), /more than 1 MiB/);
});
