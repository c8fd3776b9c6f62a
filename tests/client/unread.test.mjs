/** What happened since somebody looked, in one tab and in several. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf, Unread } from "../../static/app/unread.js";

const SCOPE = { user: "ada", project: "demo" };

function browser() {
  const stored = new Map();
  const tabs = [];
  const pending = [];
  const open = () => {
    const tab = { told: 0 };
    const storage = {
      getItem: (key) => stored.get(key) ?? null,
      setItem: (key, value) => {
        stored.set(key, value);
        for (const other of tabs) if (other !== tab) other.unread.heard({ key });
      },
    };
    const env = { storage, later: (work) => pending.push(work) };
    tab.unread = new Unread(SCOPE, env, () => (tab.told += 1));
    tabs.push(tab);
    return tab.unread;
  };
  return { open, tabs, stored, settle: () => pending.splice(0).forEach((work) => work()) };
}

const event = (seq, type = "comment_created", actor = "ben", proposal = "p1") => ({
  id: `e-${seq}`, type, actor, proposal_id: proposal,
});

test("what others did is news until its place was looked at, one's own acts are none", () => {
  const unread = browser().open();
  assert.equal(unread.note(event(1)), true);
  assert.equal(unread.note(event(1)), false, "once");
  assert.equal(unread.note(event(2, "status_changed", "ada")), false);
  assert.equal(unread.note(event(3, "validation_complete", undefined)), true);
  assert.equal(unread.note(event(4, "output")), false);
  assert.deepEqual([unread.count("p1"), unread.count("p1", "discussion"), unread.total], [2, 1, 2]);
  unread.look("p1", ["any", "checks"], "e-4");
  assert.deepEqual([unread.count("p1"), unread.count("p1", "discussion")], [1, 1]);
  unread.look("p1", ["any", "discussion"], "e-4");
  assert.deepEqual([unread.count("p1"), unread.total], [0, 0]);
  assert.equal(unread.note(event(1)), false, "again: it was read");
  assert.equal(unread.note(event(5)), true);
});

test("it survives a reload, and all tabs know the same", () => {
  const { open, settle, tabs } = browser();
  const one = open();
  const two = open();
  for (const tab of [one, two]) {
    tab.note(event(1));
    tab.note(event(2, "comment_created", "ben", "p2"));
    tab.reached("e-2");
  }
  one.look("p1", ["any", "discussion"], "e-2"); // before the other has saved what it noted
  settle();
  const reloaded = open();
  for (const tab of [one, two, reloaded]) {
    assert.deepEqual([tab.count("p1"), tab.count("p2"), tab.checked], [0, 1, "e-2"]);
  }
  assert.ok(tabs[1].told > 0, "the other tab draws its counts anew");
});

test("a life of the log that is over does not hide what comes in the next", () => {
  const unread = browser().open();
  unread.reached("e-90");
  unread.note(event(89));
  unread.look("p1", ["discussion"], "e-90");
  unread.reached("f-3");
  assert.equal(unread.checked, "f-3");
  assert.equal(unread.note({ ...event(1), id: "f-2" }), true);
});

test("no more is kept than is of use, and what others wrote there is no harm", () => {
  const { open, settle, stored } = browser();
  const unread = open();
  for (let seq = 1; seq <= 150; seq += 1) unread.note(event(seq));
  assert.equal(unread.count("p1"), 99);
  unread.keepOnly((proposal) => proposal !== "p1", "e-150");
  settle();
  assert.equal(unread.count("p1"), 0);
  for (const key of stored.keys()) stored.set(key, '{"items":null}');
  assert.equal(open().total, 0);
  assert.equal(placeOf({ type: "constructor" }), null);
});

test("no id is taken for what JavaScript has by itself", () => {
  const { open, settle } = browser();
  const unread = open();
  const odd = ["constructor", "__proto__", "toString"];
  for (const [at, id] of odd.entries()) {
    assert.equal(unread.count(id), 0);
    assert.equal(unread.note(event(at + 1, "comment_created", "ben", id)), true);
  }
  settle();
  const again = open();
  for (const id of odd) {
    assert.equal(again.count(id), 1, id);
    again.look(id, ["discussion"], "e-9");
    assert.equal(again.count(id), 0, id);
  }
  assert.equal(open().total, 0);
});
