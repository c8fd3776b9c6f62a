/**
 * Server-sent events read with `fetch`: one stream for each proposal that is watched.
 *
 * A stream carries one proposal, so a view of the whole project is narrowed to the proposals in
 * focus. The transport then is `partial`: the position it reports does not move past what the
 * other proposals' events may have been, so that nothing is missed when a socket is had again.
 */
import { earlier } from "./positions.js";
import { SseParser } from "./sse-parser.js";

/** Streams count as connections of the user, of whom the server admits five by default. */
const MAX_STREAMS = 3;
/** Silence after which a stream is taken for dead, where the server names no heartbeat. */
const SILENCE_MS = 75_000;

export function openSse(context, report) {
  const streams = new SseStreams(context, report);
  streams.setView(context.view);
  return streams;
}

class SseStreams {
  #context;
  #report;
  #streams = new Map();
  #over = false;
  #welcomed = false;

  constructor(context, report) {
    this.#context = context;
    this.#report = report;
    this.partial = false;
  }

  /** Commands go by HTTP. */
  send() {
    return false;
  }

  setToken(token) {
    this.#context = { ...this.#context, token };
    for (const stream of this.#streams.values()) stream.restart(token);
  }

  setView({ proposals, focus }) {
    const wanted = (proposals.length > 0 ? proposals : focus).slice(0, MAX_STREAMS);
    this.partial = proposals.length !== wanted.length || proposals.length === 0;
    if (wanted.length === 0) {
      // Told in a later turn: the caller does not have its handle yet.
      queueMicrotask(() => this.#end({ unsupported: true, reason: "no proposal to read" }));
      return;
    }
    for (const [id, stream] of this.#streams) {
      if (wanted.includes(id)) continue;
      stream.close();
      this.#streams.delete(id);
    }
    for (const id of wanted) {
      if (!this.#streams.has(id)) this.#streams.set(id, this.#open(id));
    }
  }

  close() {
    this.#over = true;
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  #open(proposal) {
    const stream = new SseStream(this.#context, proposal, {
      frame: (frame) => this.#frame(frame, proposal),
      heard: () => this.#report.heard(),
      malformed: (text) => this.#report.malformed(text),
      closed: (end) => this.#end(end),
    });
    stream.open();
    return stream;
  }

  #frame(frame, proposal) {
    if (this.#over) return;
    // Each stream tells who is there; what one of them says of changes fits its own list.
    const [first] = this.#streams.keys();
    if (frame.type === "presence" && proposal !== first) return;
    const low = this.#lowWater();
    if (frame.type === "welcome") {
      if (this.#welcomed) return;
      this.#welcomed = true;
      const alone = !this.partial && this.#streams.size === 1;
      const resumed = this.#context.lastEventId !== null;
      this.#report.frame(alone || !resumed ? frame : { ...frame, position: null });
      return;
    }
    if (!this.#welcomed) {
      this.#welcomed = true;
      this.#report.frame({ type: "welcome", resume: { outcome: "fresh" } });
    }
    this.#report.frame(frame, low);
  }

  #lowWater() {
    if (this.partial) return null;
    let low;
    for (const stream of this.#streams.values()) {
      if (!stream.position) return null;
      low = low === undefined ? stream.position : earlier(low, stream.position);
    }
    return low ?? null;
  }

  #end(end) {
    if (this.#over) return;
    this.close();
    this.#report.closed(end);
  }
}

/** One HTTP request and what comes of it. */
class SseStream {
  #context;
  #proposal;
  #report;
  #abort = null;
  #silence = null;
  #silenceMs = SILENCE_MS;

  constructor(context, proposal, report) {
    this.#context = context;
    this.#proposal = proposal;
    this.#report = report;
    this.position = context.lastEventId;
  }

  open() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#read(signal).then(
      (end) => this.#finish(signal, end),
      (error) => {
        const name = error instanceof Error ? error.name : "error";
        this.#finish(signal, { code: 1006, reason: name === "TypeError" ? "no answer" : name });
      },
    );
  }

  /** Begin again with another token, from where the stream has come to. */
  restart(token) {
    this.close();
    this.#context = { ...this.#context, token };
    this.open();
  }

  close() {
    this.#context.env.clearTimeout(this.#silence);
    this.#abort?.abort();
    this.#abort = null;
  }

  #finish(signal, end) {
    if (signal.aborted) return;
    this.close();
    this.#report.closed(end);
  }

  async #read(signal) {
    const { base, token, env } = this.#context;
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}` };
    if (this.position) headers["Last-Event-ID"] = this.position;
    const address = `${base}/api/v1/proposals/${encodeURIComponent(this.#proposal)}/events`;
    const response = await env.fetch(address, {
      headers,
      signal,
      cache: "no-store",
      credentials: "omit",
    });
    const kind = response.headers.get("content-type") ?? "";
    if (!response.ok || !kind.startsWith("text/event-stream") || !response.body) {
      return refusal(response, await problemOf(response));
    }
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    signal.addEventListener("abort", () => reader.cancel().catch(() => {}), { once: true });
    this.#listen(signal);
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return {};
      if (done) return { code: 1005, reason: "the stream ended" };
      this.#listen(signal);
      this.#report.heard();
      for (const block of parser.push(decoder.decode(value, { stream: true }))) {
        this.#block(block);
        if (signal.aborted) return {};
      }
    }
  }

  #block(block) {
    if (block.idGiven && block.id) this.position = block.id;
    if (block.data === null) {
      this.#report.frame({ type: "position", id: block.id });
      return;
    }
    let frame;
    try {
      frame = JSON.parse(block.data);
    } catch {
      this.#report.malformed(block.data.slice(0, 200));
      return;
    }
    if (!frame || typeof frame !== "object") return;
    frame.type ??= block.type;
    const beat = frame.type === "welcome" ? frame.heartbeat : undefined;
    if (beat?.ping_interval_s > 0) {
      this.#silenceMs = (2 * beat.ping_interval_s + (beat.pong_timeout_s ?? 0)) * 1000;
    }
    if (frame.type === "welcome" && !this.position) this.position = frame.position ?? null;
    if (frame.type === "position" && frame.id) this.position = frame.id;
    this.#report.frame(frame);
  }

  /** Comments keep a quiet stream audible; one that is not heard at all is dead. */
  #listen(signal) {
    const { env } = this.#context;
    env.clearTimeout(this.#silence);
    this.#silence = env.setTimeout(() => {
      if (signal.aborted) return;
      this.close();
      this.#report.closed({ code: 1006, reason: "no sign of life" });
    }, this.#silenceMs);
  }
}

function refusal(response, { reason, word }) {
  const end = { status: response.status, reason, ...(word !== undefined && { word }) };
  const retryAfter = Number(response.headers.get("retry-after"));
  if (retryAfter > 0) end.retryAfterMs = retryAfter * 1000;
  // 406 and the like: not a word about this user, but about this way in.
  if ([404, 405, 406, 501].includes(response.status) || response.ok) {
    return response.status === 404 ? end : { unsupported: true, reason };
  }
  return end;
}

/** What a refusal says, for people and as a word for programs. */
async function problemOf(response) {
  try {
    const { detail, title, reason: word } = await response.json();
    return { reason: String(detail ?? title ?? response.status), word };
  } catch {
    // No problem document: a proxy's answer, most likely.
    return { reason: `HTTP ${response.status}`, word: undefined };
  }
}
