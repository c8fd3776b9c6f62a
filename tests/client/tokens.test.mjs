import assert from "node:assert/strict";
import { test } from "node:test";
import { claimsOf, expiresAtMs, momentMs, TokenSource } from "../../static/client/tokens.js";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (claims) => `${part({ alg: "HS256" })}.${part(claims)}.c2ln`;

test("claims are read, also with letters beyond ASCII", () => {
  assert.deepEqual(claimsOf(token({ sub: "ада", exp: 5 })), { sub: "ада", exp: 5 });
  assert.equal(expiresAtMs(token({ exp: 5 })), 5000);
});

test("what is no JWT has no claims", () => {
  for (const bad of ["", "a.b", "a.%%%.c", undefined, `a.${part(7)}.c`]) {
    assert.deepEqual(claimsOf(bad), {});
    assert.equal(expiresAtMs(bad), null);
  }
});

test("moments come as RFC 3339 or as seconds", () => {
  assert.equal(momentMs("2026-01-02T03:04:05Z"), Date.UTC(2026, 0, 2, 3, 4, 5));
  assert.equal(momentMs(12), 12_000);
  assert.equal(momentMs("soon"), null);
  assert.equal(momentMs(null), null);
});

test("a fixed token is given, and cannot be renewed", async () => {
  const source = new TokenSource({ token: "t" });
  assert.equal(await source.get(), "t");
  assert.equal(source.canRenew, false);
  await assert.rejects(source.get({ force: true }));
  assert.throws(() => new TokenSource({}), TypeError);
});

test("several who need a new token ask the app once", async () => {
  let asked = 0;
  const source = new TokenSource({
    getToken: async ({ reason }) => {
      asked += 1;
      return `${reason}-${asked}`;
    },
  });
  const both = await Promise.all([source.get(), source.get({ force: true, reason: "expiring" })]);
  assert.deepEqual(both, ["connect-1", "connect-1"]);
  assert.equal(await source.get(), "connect-1");
  assert.equal(await source.get({ force: true, reason: "rejected" }), "rejected-2");
});

test("an app that gives no token is told so", async () => {
  await assert.rejects(new TokenSource({ getToken: () => null }).get(), /no token/);
});
