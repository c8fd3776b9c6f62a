// The npm package `eventsource`: reconnects and resumes by itself, as browsers do.
// Arguments: the stream's address (with the token), the types of events to listen to.
import { EventSource } from "eventsource";

const [url, ...types] = process.argv.slice(2);

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const source = new EventSource(url);
source.addEventListener("open", () => say({ happened: "open" }));
source.addEventListener("error", ({ code }) => {
  say({ happened: "error", code: code ?? null, closed: source.readyState === EventSource.CLOSED });
});
for (const type of ["welcome", "gap", "closing", ...types]) {
  source.addEventListener(type, ({ data, lastEventId }) => {
    say({ happened: "event", type, lastEventId, frame: JSON.parse(data) });
  });
}
