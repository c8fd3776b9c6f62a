// sockjs-client under Node, one line of JSON for whatever happens; comes back until it is told not to.
// Arguments: the endpoint's address, a transport, the hello as JSON.
const http = require("http");
const SockJS = require("sockjs-client");

const [url, transport, greeting] = process.argv.slice(2);
const hello = JSON.parse(greeting);

if (transport.startsWith("xhr")) {
  // Its XMLHttpRequest for Node hears of an answer's end, but not that it was cut off, of which a
  // browser's does: a streaming session behind a killed worker would wait for ever.
  const { request } = http;
  http.request = (options, listener) =>
    request(options, (answer) => {
      answer.once("close", () => answer.complete || answer.emit("end"));
      listener(answer);
    });
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function connect() {
  const socket = new SockJS(url, null, { transports: [transport] });
  let reconnect = true;
  socket.onopen = () => {
    say({ happened: "open", transport: socket.transport });
    socket.send(JSON.stringify(hello));
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "welcome" && frame.resume.outcome !== "replayed") {
      hello.last_event_id = frame.position;
    } else if (frame.id) {
      hello.last_event_id = frame.id;
    } else if (frame.type === "closing") {
      reconnect = frame.reconnect;
    }
    say({ happened: "frame", frame });
  };
  socket.onclose = ({ code, reason }) => {
    say({ happened: "close", code, reason });
    if (reconnect) setTimeout(connect, 200);
  };
}

connect();
