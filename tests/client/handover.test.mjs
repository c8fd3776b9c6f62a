/** A tab that was opened by a link gets its token from another one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askForToken, offerToken } from "../../static/app/handover.js";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenFor = (claims) => `${part({ alg: "HS256" })}.${part({ sub: "ada", ...claims })}.c2ln`;

test("who has a token for the project gives it, nobody else does", async () => {
  const good = tokenFor({ projects: ["demo"] });
  const stops = [
    offerToken(() => tokenFor({ projects: ["another"] })),
    offerToken(() => null),
    offerToken(() => good),
  ];
  assert.equal(await askForToken("demo"), good);
  assert.equal(await askForToken("third"), null);
  stops.pop()();
  assert.equal(await askForToken("demo"), null);
  for (const stop of stops) stop();
  assert.equal(await askForToken("demo", { BroadcastChannel: 0 }), null, "where there is no channel");
});
