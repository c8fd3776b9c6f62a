import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, elapsed, initials, words } from "../../static/app/format.js";
import {
  describeConnection,
  describeGap,
  describeResume,
  describeRun,
  describeSending,
  findingsOf,
  tally,
} from "../../static/app/words.js";

test("each state of the connection has words", () => {
  const states = [
    [{ name: "connecting", attempt: 0 }, "busy", "Connecting"],
    [{ name: "connecting", attempt: 2 }, "warning", "Connecting again"],
    [{ name: "live", transport: "websocket", since: 0 }, "good", "Live"],
    [{ name: "stale", reason: "silent", since: 0 }, "warning", "No answer from the server"],
    [{ name: "stale", reason: "offline", since: 0 }, "warning", "You seem to be offline"],
    [{ name: "reconnecting", at: 5000, why: "lost" }, "warning", "The connection was lost."],
    [{ name: "stopped", because: "replaced" }, "bad", "Live updates are off in this window"],
    [{ name: "stopped", because: "never heard of" }, "bad", "Live updates are off"],
  ];
  for (const [state, tone, title] of states) {
    const said = describeConnection(state, 0);
    assert.equal(said.tone, tone);
    assert.equal(said.title, title);
  }
});

test("why a connection ended or waits is said as it is", () => {
  const said = (state, online = true) => describeConnection(state, 0, online);
  const ended = said({ name: "stopped", because: "ended", reason: "Disconnected by an administrator" });
  assert.match(ended.title, /administrator ended your connection/);
  assert.doesNotMatch(ended.detail, /token does not/);
  const revoked = said({ name: "stopped", because: "unauthorized",
    reason: "Unauthorized: an administrator revoked the token; get a new one" });
  assert.match(revoked.detail, /^An administrator revoked the token; get a new one\. Sign in/);
  const refused = said({ name: "stopped", because: "forbidden", reason: "Forbidden" });
  assert.match(refused.detail, /^Your token does not open it\. Ask/);
  assert.equal(refused.action.label, "Use another token");
  const waits = { name: "reconnecting", at: 5_000 };
  const full = said({ ...waits, why: "full", reason: "50 of 50 connections are taken" });
  assert.equal(full.title, "The project is full.");
  assert.match(full.detail, /^50 of 50 connections are taken\. This page/);
  assert.equal(full.countdown, "Trying again in 5 s");
  assert.match(said({ ...waits, why: "busy", reason: "HTTP 503" }).detail, /^This page/);
  assert.equal(said({ ...waits, why: "unreachable" }, false).title, "You are offline.");
});

test("it counts down", () => {
  const state = { name: "reconnecting", at: 10_000, why: "unreachable" };
  assert.equal(describeConnection(state, 6_001).countdown, "Trying again in 4 s");
  assert.equal(describeConnection(state, 10_500).countdown, "Trying again now");
});

test("how a resume went is said, except the first time", () => {
  const info = { first: false, down_ms: 2_000, outcome: "replayed", replayed: 1037 };
  assert.equal(describeResume(info), "Back after 2.0 s. Caught up: 1,037 events replayed.");
  assert.equal(
    describeResume({ ...info, replayed: 1, down_ms: 0 }),
    "Back. Caught up: 1 event replayed.",
  );
  assert.match(describeResume({ ...info, outcome: "nothing_missed" }), /Nothing was missed/);
  assert.equal(describeResume({ ...info, first: true }), null);
  assert.equal(describeResume({ ...info, outcome: "lost" }), null);
});

test("a gap says how much, where that is known", () => {
  assert.match(describeGap({ lost: 1204, refetched: true }), /^1,204 events are no longer stored/);
  assert.match(describeGap({ lost: null, refetched: false }), /Reload the page/);
});

test("a run is only said to run while the page would hear of its end", () => {
  assert.equal(describeRun({ status: "running" }).label, "Running");
  assert.equal(describeRun({ status: "running" }, false).label, "Running when last seen");
  assert.equal(describeRun(null).label, "Not run yet");
});

test("findings come from the report, the gravest first", () => {
  const report = {
    items: [
      {
        issues: [
          { level: "INFO", path: "a.md", line: 3, message: "i" },
          { level: "ERROR", path: "b.md", message: "e" },
        ],
      },
      { issues: [{ level: "WARNING", path: "", message: "w" }] },
    ],
  };
  const findings = findingsOf(report);
  assert.deepEqual(
    findings.map(({ level }) => level),
    ["error", "warning", "info"],
  );
  assert.deepEqual(findings[2], { level: "info", path: "a.md", line: 3, message: "i" });
  assert.equal(tally(findings), "1 error, 1 warning, 1 note");
});

test("a report of another shape has no findings, and does no harm", () => {
  for (const report of [null, undefined, 7, "x", [], {}, { items: [null, { issues: "x" }] }]) {
    assert.deepEqual(findingsOf(report), []);
  }
});

test("times and names as people read them", () => {
  assert.deepEqual([850, 1234, 59_000, 125_000, 3_700_000].map(duration), [
    "850 ms",
    "1.2 s",
    "59 s",
    "2 min 05 s",
    "1 h 01 min",
  ]);
  assert.equal(elapsed(900), "0 s");
  assert.equal(elapsed(61_999), "1 min 01 s");
  assert.equal(words("in_review"), "In review");
  assert.equal(words(undefined), "");
  assert.equal(initials("Ada Byron"), "AB");
  assert.equal(initials("ben"), "BE");
});

test("a level of finding that nobody knows is a note, whatever it is called", () => {
  for (const level of ["constructor", "__proto__", "toString", null]) {
    const [finding] = findingsOf({ issues: [{ level, message: "m" }] });
    assert.equal(finding.level, "info", String(level));
  }
});

test("before something is sent without a connection it is said what becomes of it", () => {
  const lost = { name: "reconnecting", at: 0 };
  assert.equal(describeSending({ name: "live" }, true), "");
  assert.equal(describeSending({ name: "stale" }, true), "");
  assert.equal(describeSending({ name: "connecting", attempt: 0, since: null }, true), "");
  assert.match(describeSending({ name: "connecting", attempt: 2 }, true), /^Not connected: the server is asked/);
  assert.match(describeSending(lost, true), /^Not connected: the server is asked/);
  assert.match(describeSending(lost, false), /^You are offline/);
  assert.match(describeSending({ name: "stale" }, false), /^You are offline/);
  assert.match(describeSending({ name: "stopped", because: "unauthorized" }, true), /sign in again/);
  assert.match(describeSending({ name: "stopped", because: "replaced" }, true), /^Not connected/);
});
