// The export of the audit console.
import assert from "node:assert/strict";
import { test } from "node:test";

import { asCsv } from "../../static/admin/records.js";

const exported = (target) => asCsv([{ target }]).split("\r\n").slice(1, -1).join("\r\n").slice(6, -4);

test("no cell begins as a formula does", () => {
  for (const begin of ["=", "+", "-", "@", "＝", "＋", "－", "＠", " =", '"=', "\u00a0@", "\0="]) {
    const cell = exported(`${begin}1+1`);
    assert.match(cell, /^"?'/, JSON.stringify(begin));
  }
  for (const begin of ["\t", "\r", "\n", "\0"]) assert.match(exported(`${begin}x`), /^"?'/);
});

test("nor does what a spreadsheet that separates by other characters takes for a cell", () => {
  for (const separator of [";", "\t", "\r", "\n", "\r\n"]) {
    for (const inner of ["=1", "＝1", '"=1"', " +1", "-1", "@a"]) {
      const cell = exported(`a${separator}${inner}`);
      for (const part of cell.split(/[;\t\r\n]/).slice(1)) assert.match(part, /^($|')/, cell);
    }
  }
});

test("what is no formula stays as it is", () => {
  for (const text of ["plain", "a-b", "a = b", "2026-01-01T00:00:00Z", "203.0.113.7", "fe80::1"]) {
    assert.equal(exported(text), text);
  }
  assert.equal(exported("a;b"), '"a;b"');
  assert.equal(asCsv([{ details: { status: 401, why: "a" } }]).split("\r\n")[1].slice(10), '"{""status"":401,""why"":""a""}"');
});

test("a long text costs no more than its length", () => {
  const before = performance.now();
  for (const piece of ["\t", ";", " ", '"', ";    "]) exported(piece.repeat(200_000));
  assert.ok(performance.now() - before < 2_000);
});
