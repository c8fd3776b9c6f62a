/**
 * An incremental reader of `text/event-stream` (WHATWG HTML, 9.2.6), for use with `fetch`.
 *
 * `EventSource` itself will not do: it sends no Authorization header, hides the status and
 * `Retry-After` of a refused request, and swallows the comments that show a quiet stream is alive.
 */
export class SseParser {
  #rest = "";
  #atStart = true;
  #skipLineFeed = false;
  #type = "";
  #data = [];
  #dataLength = 0;
  #idInBlock;

  /** @param {number} [maxLength] characters one unfinished line or block may take */
  constructor(maxLength = 4 * 1024 * 1024) {
    this.maxLength = maxLength;
    this.retryMs = undefined;
    this.lastEventId = "";
  }

  /**
   * @param {string} text decoded as UTF-8
   * @returns {{type: string, data: string | null, id: string, idGiven: boolean}[]} the blocks that
   *   ended in `text`. A block with only an `id` is included, with `data: null`: it moves the
   *   position and dispatches nothing.
   * @throws {RangeError} where a line or block grows past `maxLength`
   */
  push(text) {
    let input = text;
    if (this.#atStart && input !== "") {
      this.#atStart = false;
      if (input.charCodeAt(0) === 0xfeff) input = input.slice(1);
    }
    if (this.#skipLineFeed && input !== "") {
      this.#skipLineFeed = false;
      if (input[0] === "\n") input = input.slice(1);
    }
    const buffer = this.#rest + input;
    const blocks = [];
    let from = 0;
    for (;;) {
      const end = lineEnd(buffer, from);
      if (end === -1) break;
      const line = buffer.slice(from, end);
      from = end + 1;
      if (buffer[end] === "\r") {
        if (from === buffer.length) this.#skipLineFeed = true;
        else if (buffer[from] === "\n") from += 1;
      }
      const block = this.#line(line);
      if (block) blocks.push(block);
    }
    this.#rest = buffer.slice(from);
    if (this.#rest.length > this.maxLength) throw new RangeError("SSE line too long");
    return blocks;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    if (line[0] === ":") return null;
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") {
      this.#data.push(value);
      this.#dataLength += value.length;
      if (this.#dataLength > this.maxLength) throw new RangeError("SSE block too long");
    } else if (field === "event") {
      this.#type = value;
    } else if (field === "id") {
      if (!value.includes("\0")) this.#idInBlock = value;
    } else if (field === "retry" && /^\d+$/.test(value)) {
      this.retryMs = Number(value);
    }
    return null;
  }

  #dispatch() {
    const idGiven = this.#idInBlock !== undefined;
    if (idGiven) this.lastEventId = this.#idInBlock;
    const block =
      this.#data.length > 0 || idGiven
        ? {
            type: this.#type || "message",
            data: this.#data.length > 0 ? this.#data.join("\n") : null,
            id: this.lastEventId,
            idGiven,
          }
        : null;
    this.#type = "";
    this.#data = [];
    this.#dataLength = 0;
    this.#idInBlock = undefined;
    return block;
  }
}

function lineEnd(text, from) {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 10 || code === 13) return at;
  }
  return -1;
}
