// Who is there: lists and changes of them.
import assert from "node:assert/strict";
import test from "node:test";

import { presenceFrame, withPresence } from "../../static/client/presence.js";
import { emptyState, fromSnapshot, reduce } from "../../static/client/index.js";

const person = (id, ...places) => ({ user_id: id, name: id.toUpperCase(), proposal_ids: places });
const NOBODY = { present: [], count: 0 };
const known = withPresence(NOBODY, {
  type: "presence",
  count: 3,
  present: [person("ada"), person("ben", "p1"), person("cleo")],
});

test("changes are applied to the list, and leave it in its order", () => {
  const next = withPresence(known, {
    type: "presence",
    count: 3,
    joined: [person("dora")],
    moved: [person("ada", "p2")],
    left: ["ben"],
  });
  assert.deepEqual(next, {
    present: [person("ada", "p2"), person("cleo"), person("dora")],
    count: 3,
  });
  assert.deepEqual(known.present[0], person("ada"));
});

test("what a list contains already changes nothing", () => {
  const frame = { type: "presence", count: 4, joined: [person("dora")], left: ["ben"] };
  const once = withPresence(known, frame);
  assert.deepEqual(withPresence(once, frame), once);
});

test("a list replaces what was known, and a count alone leaves the list as it is", () => {
  const counted = withPresence(known, { type: "presence", count: 900 });
  assert.equal(counted.present, known.present);
  assert.equal(counted.count, 900);
  assert.deepEqual(withPresence(counted, presenceFrame(NOBODY)), NOBODY);
});

test("a project's state begins with the snapshot's people and follows the frames", () => {
  const snapshot = { project_id: "p", position: "e-1", present: [person("ada")], present_count: 1 };
  const state = fromSnapshot(snapshot, emptyState("p"));
  assert.deepEqual([state.present, state.present_count], [[person("ada")], 1]);
  const next = reduce(state, { type: "presence", count: 2, joined: [person("ben")] });
  assert.deepEqual(next.present, [person("ada"), person("ben")]);
  assert.equal(next.present_count, 2);
  assert.equal(next.proposals, state.proposals);
  assert.equal(next.position, "e-1");
});

test("a snapshot that is fetched later does not bring back who has left since", () => {
  const snapshot = { project_id: "p", position: "e-1", present: [person("ada"), person("ben")] };
  let state = fromSnapshot(snapshot, emptyState("p"));
  state = fromSnapshot(snapshot, state);
  assert.equal(state.present.length, 2);
  state = reduce(state, { type: "presence", count: 2, present: snapshot.present });
  state = reduce(state, { type: "presence", count: 1, left: ["ben"] });
  state = fromSnapshot(snapshot, state);
  assert.deepEqual([state.present, state.present_count], [[person("ada")], 1]);
});
