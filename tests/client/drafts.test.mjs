import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts, draftField, forgetDrafts } from "../../static/app/drafts.js";

class FakeStorage extends Map {
  get length() {
    return this.size;
  }
  key(at) {
    return [...this.keys()][at];
  }
  getItem(key) {
    return this.get(key) ?? null;
  }
  setItem(key, value) {
    this.set(key, value);
  }
  removeItem(key) {
    this.delete(key);
  }
}

function drafts(storage = new FakeStorage(), scope = {}) {
  let now = 0;
  return new Drafts({ user: "ada", project: "demo", ...scope }, storage, () => (now += 1));
}

test("a draft belongs to its user, project, proposal and kind", () => {
  const storage = new FakeStorage();
  const mine = drafts(storage);
  mine.set("p1", "comment", "hello");
  assert.equal(mine.get("p1", "comment"), "hello");
  assert.equal(mine.get("p2", "comment"), "");
  assert.equal(mine.get("p1", "instruction"), "");
  assert.equal(drafts(storage, { user: "ben" }).get("p1", "comment"), "");
  assert.equal(drafts(storage, { project: "other" }).get("p1", "comment"), "");
  assert.equal(drafts(storage).get("p1", "comment"), "hello", "after a reload");
});

test("all drafts together are bounded, and the oldest go first", () => {
  const storage = new FakeStorage([["other", "x".repeat(200_000)]]);
  const mine = drafts(storage);
  for (let at = 0; at < 40; at += 1) mine.set(`p${at}`, "comment", "x".repeat(8000));
  const kept = [...storage.keys()].filter((key) => key !== "other");
  const chars = kept.reduce((sum, key) => sum + key.length + storage.get(key).length, 0);
  assert.ok(chars <= 128 * 1024 && kept.length >= 15, `${kept.length} drafts, ${chars} characters`);
  assert.equal(mine.get("p39", "comment").length, 8000);
  assert.equal(mine.get("p0", "comment"), "");
  forgetDrafts(storage);
  assert.deepEqual([...storage.keys()], ["other"]);
});

test("what is no draft is no harm", () => {
  const storage = new FakeStorage();
  const mine = drafts(storage);
  mine.set("p1", "comment", "hello");
  const [key] = storage.keys();
  for (const bad of ["{", "null", "[]", '{"text":7}']) {
    storage.set(key, bad);
    assert.equal(mine.get("p1", "comment"), "", bad);
  }
  storage.setItem = () => {
    throw new Error("full");
  };
  mine.set("p1", "comment", "more");
});

test("a field shows one proposal's draft at a time, and what is sent is cleared where it was", () => {
  const field = new EventTarget();
  field.value = "";
  const draft = draftField(field, drafts(), "comment");
  const write = (text) => {
    field.value = text;
    field.dispatchEvent(new Event("input"));
  };
  draft.show("p1");
  write("about one ");
  draft.show("p2");
  assert.equal(field.value, "");
  write("about two");
  draft.sent("p1", "about one");
  assert.equal(field.value, "about two");
  draft.show("p1");
  assert.equal(field.value, "", "it was sent while another was shown");
  write("more");
  draft.sent("p1", "mor");
  assert.equal(field.value, "more", "what was written since then stays");
  draft.show("p2");
  draft.sent("p2", "about two");
  assert.equal(field.value, "");
});
