// Keeping a lock: renewed in time, and let go where it ended.
import assert from "node:assert/strict";
import test from "node:test";

import { LockKeeper } from "../../static/app/lock-keeper.js";
import { ApiError } from "../../static/client/index.js";

const MINE = { by: "ada", reason: "", at: "t1" };

/** A keeper, and the clock and the server that it has to do with. */
class Scene {
  renewals = [];
  ended = [];
  answer = () => ({ lease_s: 120 });
  nowMs = 0;
  #timers = new Map();
  #next = 1;

  constructor() {
    this.keeper = new LockKeeper({
      me: "ada",
      renew: async () => {
        this.renewals.push(this.nowMs / 1000);
        return this.answer();
      },
      onEnded: (ended) => this.ended.push(ended),
      env: {
        setTimeout: (run, ms) => {
          this.#timers.set(this.#next, { run, at: this.nowMs + ms });
          this.#next += 1;
          return this.#next - 1;
        },
        clearTimeout: (id) => this.#timers.delete(id),
      },
    });
  }

  async pass(seconds) {
    const end = this.nowMs + seconds * 1000;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const [first] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at);
      if (!first || first[1].at > end) break;
      this.#timers.delete(first[0]);
      this.nowMs = first[1].at;
      first[1].run();
    }
    this.nowMs = end;
  }
}

test("a lock is renewed every third of its lease, however often it is looked at", async () => {
  const scene = new Scene();
  scene.keeper.update(null);
  for (let second = 0; second < 130; second += 1) {
    scene.keeper.update(MINE);
    await scene.pass(1);
  }
  assert.deepEqual(scene.renewals, [0, 40, 80, 120]);
  assert.ok(scene.keeper.keeping);
});

test("nothing is renewed that is somebody else's", async () => {
  const scene = new Scene();
  scene.keeper.update({ ...MINE, by: "ben" });
  await scene.pass(300);
  assert.deepEqual([scene.renewals, scene.ended], [[], []]);
});

test("what the user gave back is let go without a word", async () => {
  const scene = new Scene();
  scene.keeper.update(MINE);
  await scene.pass(10);
  scene.keeper.heard({ locked: false, by: "ada", cause: "released", actor: "ada" });
  scene.keeper.update(null);
  await scene.pass(300);
  assert.deepEqual([scene.renewals, scene.ended], [[0], []]);
});

for (const [what, event, lock, expected] of [
  ["taken away", { cause: "released", actor: "root" }, null, { why: "released", by: "root" }],
  ["expired", { cause: "expired" }, null, { why: "expired", by: null }],
  ["taken over", { cause: "expired" }, { by: "ben", at: "t2" }, { why: "taken", by: "ben" }],
  ["gone unheard", null, null, { why: "lost", by: null }],
]) {
  test(`a lock that was ${what} is told, once, and renewed no more`, async () => {
    const scene = new Scene();
    scene.keeper.update(MINE);
    await scene.pass(10);
    if (event) scene.keeper.heard({ locked: false, by: "ada", ...event });
    for (let times = 0; times < 3; times += 1) scene.keeper.update(lock);
    await scene.pass(300);
    assert.deepEqual(scene.ended, [expected]);
    assert.deepEqual(scene.renewals, [0]);
    assert.ok(!scene.keeper.keeping);
  });
}

test("a server that does not answer is asked again before the lease runs out", async () => {
  const scene = new Scene();
  scene.keeper.update(MINE);
  await scene.pass(39);
  scene.answer = () => {
    throw new ApiError(0, {});
  };
  await scene.pass(6);
  scene.answer = () => {
    throw new ApiError(503, {}, 5_000);
  };
  await scene.pass(2);
  scene.answer = () => ({ lease_s: 120 });
  await scene.pass(50);
  assert.deepEqual(scene.renewals, [0, 40, 42, 44, 46, 51, 91]);
});

test("a refused renewal is not repeated, unless the user locks again", async () => {
  const scene = new Scene();
  scene.keeper.update(MINE);
  scene.answer = () => {
    throw new ApiError(409, { reason: "not_held" });
  };
  await scene.pass(45);
  for (let times = 0; times < 5; times += 1) scene.keeper.update({ ...MINE });
  await scene.pass(300);
  assert.deepEqual(scene.renewals, [0, 40]);
  scene.answer = () => ({ lease_s: 120 });
  scene.keeper.update({ ...MINE, at: "t2" });
  await scene.pass(41);
  assert.deepEqual(scene.renewals, [0, 40, 345, 385]);
});

test("a page that is left renews no more", async () => {
  const scene = new Scene();
  scene.keeper.update(MINE);
  scene.keeper.stop();
  await scene.pass(300);
  assert.deepEqual([scene.renewals, scene.ended], [[0], []]);
});
