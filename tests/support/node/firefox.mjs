// Firefox over WebDriver BiDi, for tests in Python: a JSON line asks, a JSON line answers.
// Argument: Firefox's executable. Ends, and Firefox with it, when its input does.
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const WAIT_MS = 30_000;
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath: process.argv[2],
  headless: true,
  protocolTimeout: 2 * WAIT_MS,
});
const kept = new Map([["browser", browser]]);
let complaints = [];

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function watch(page) {
  page.setDefaultTimeout(WAIT_MS);
  page.on("pageerror", (error) => complaints.push(`script: ${error.stack ?? error}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
}

/** Functions of a page come as text: `{"script": "(a, b) => a + b"}`. */
function argument(each) {
  return typeof each?.script === "string" ? (0, eval)(`(${each.script})`) : each;
}

/** `on` names what was kept, `method` may be a path in it, as "keyboard.press"; `keep` names the result. */
async function call({ on, method, given, keep }) {
  const path = method.split(".");
  const name = path.pop();
  const target = path.reduce((at, part) => at[part], kept.get(on));
  const result = await target[name](...given.map(argument));
  if (keep === null) return result;
  kept.set(keep, result);
  if (name === "newPage") watch(result);
  return null;
}

say({ result: await browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const asked = JSON.parse(line);
    if (asked.method === "complaints") {
      say({ result: complaints });
      complaints = [];
    } else {
      const result = await call(asked);
      // What stands for something in the page, as the answer to a wait, is of no use over there.
      say({ result: typeof result?.dispose === "function" ? null : (result ?? null) });
    }
  } catch (error) {
    say({ error: String(error.stack ?? error) });
  }
}
await browser.close();
