import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser } from "../../static/client/sse-parser.js";

const STREAM =
  '\uFEFFretry: 3000\n\n: keep-alive\n\nid: e-1\nevent: output\ndata: {"a":1}\n\n' +
  "id: e-2\n\ndata: one\ndata: two\r\n\r\nevent: x\rdata:bare\r\rdata\n\n";

const EXPECTED = [
  { type: "output", data: '{"a":1}', id: "e-1", idGiven: true },
  { type: "message", data: null, id: "e-2", idGiven: true },
  { type: "message", data: "one\ntwo", id: "e-2", idGiven: false },
  { type: "x", data: "bare", id: "e-2", idGiven: false },
  { type: "message", data: "", id: "e-2", idGiven: false },
];

test("blocks are read however the stream is cut", () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new SseParser();
    const blocks = [];
    for (let at = 0; at < STREAM.length; at += size) {
      blocks.push(...parser.push(STREAM.slice(at, at + size)));
    }
    assert.deepEqual(blocks, EXPECTED, `in pieces of ${size}`);
    assert.equal(parser.retryMs, 3000);
  }
});

test("an unfinished block is not dispatched", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push("data: half\n"), []);
});

test("a stream without line ends or block ends is refused, not kept", () => {
  assert.throws(() => new SseParser(10).push("x".repeat(11)), RangeError);
  assert.throws(() => new SseParser(10).push("data: 12345\ndata: 123456\n"), RangeError);
});
