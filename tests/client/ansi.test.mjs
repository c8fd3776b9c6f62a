import assert from "node:assert/strict";
import { test } from "node:test";
import { ansiReader, contrast, readable, shownText } from "../../static/app/ansi.js";

const ESC = "\x1b";

function read(...lines) {
  const reader = ansiReader();
  return lines.map((line) =>
    reader(line).map(({ text, style }) => [
      text,
      Object.fromEntries(
        Object.entries(style).filter(([, value]) => value !== null && value !== false),
      ),
    ]),
  );
}

test("plain text is one plain piece, and markup is only text", () => {
  assert.deepEqual(read("<b>no</b> & so on"), [[["<b>no</b> & so on", {}]]]);
  assert.deepEqual(read(""), [[]]);
});

test("sixteen colours, bold and back", () => {
  assert.deepEqual(read(`a${ESC}[1;31mb${ESC}[0mc${ESC}[97;44md`), [
    [
      ["a", {}],
      ["b", { bold: true, fg: 1 }],
      ["c", {}],
      ["d", { fg: 15, bg: 4 }],
    ],
  ]);
});

test("each attribute ends by its own code", () => {
  const [[, ...rest]] = read(
    `x${ESC}[1;2;3;4;7;8;9ma${ESC}[22mb${ESC}[23mc${ESC}[24md${ESC}[27me${ESC}[28mf${ESC}[29mg`,
  );
  assert.deepEqual(
    rest.map(([, style]) => Object.keys(style).length),
    [7, 5, 4, 3, 2, 1, 0],
  );
});

test("256 and 24-bit colours, with semicolons and with colons", () => {
  const [pieces] = read(
    `${ESC}[38;5;196ma${ESC}[38;2;1;2;3mb${ESC}[38:5:244mc${ESC}[48:2::9:8:7md${ESC}[38;5;9me${ESC}[39;49mf`,
  );
  assert.deepEqual(
    pieces.map(([, style]) => [style.fg, style.bg]),
    [
      [[255, 0, 0], undefined],
      [[1, 2, 3], undefined],
      [[128, 128, 128], undefined],
      [
        [128, 128, 128],
        [9, 8, 7],
      ],
      [9, [9, 8, 7]],
      [undefined, undefined],
    ],
  );
});

test("what follows an extended colour still counts", () => {
  assert.deepEqual(read(`${ESC}[38;5;1;1mx`), [[["x", { fg: 1, bold: true }]]]);
  assert.deepEqual(read(`${ESC}[38;2;1;2;3;4mx`), [[["x", { fg: [1, 2, 3], underline: true }]]]);
});

test("broken colours are ignored", () => {
  assert.deepEqual(read(`${ESC}[38;5;999mx${ESC}[38;7;1my${ESC}[;mz`), [[["xyz", {}]]]);
});

test("a style lasts over lines, as in a terminal", () => {
  assert.deepEqual(read(`${ESC}[32mgreen`, "still", `${ESC}[mnot`), [
    [["green", { fg: 2 }]],
    [["still", { fg: 2 }]],
    [["not", {}]],
  ]);
});

test("links, titles, movement and other controls leave only their text", () => {
  const line = `${ESC}]8;;https://example.org${ESC}\\link${ESC}]8;;\x07 ${ESC}[2K${ESC}[10;5H${ESC}(Bok\x07\x00${ESC}7`;
  assert.deepEqual(read(line), [[["link ok", {}]]]);
  assert.deepEqual(read(`cut off ${ESC}[31`), [[["cut off ", {}]]]);
});

test("a rewritten line shows what was written last, in the colour set before", () => {
  assert.deepEqual(read(`10%\r${ESC}[32m50%\r100%`), [[["100%", { fg: 2 }]]]);
  assert.deepEqual(read("done\r"), [[["done", {}]]]);
});

test("tabs stay", () => {
  assert.deepEqual(read("a\tb"), [[["a\tb", {}]]]);
});

test("any colour of a program can be read", () => {
  const background = [13, 16, 23];
  for (const colour of [
    [0, 0, 0],
    [0, 0, 255],
    [128, 0, 0],
    [255, 255, 255],
    [20, 20, 20],
  ]) {
    assert.ok(contrast(readable(colour, background), background) >= 4.5, String(colour));
    assert.ok(contrast(readable(colour, [250, 250, 250]), [250, 250, 250]) >= 4.5, String(colour));
  }
  assert.deepEqual(readable([255, 255, 255], background), [255, 255, 255]);
});

test("odd bytes come out readable, and hide or turn nothing", () => {
  const shows = (line) => read(line)[0].map(([text]) => text).join("");
  assert.equal(shows("rlo \u202egnp.exe\u202c iso \u2066x\u2069"), "rlo <U+202E>gnp.exe<U+202C> iso <U+2066>x<U+2069>");
  assert.equal(shows("ls a\u2028b\u2029c nel d\u0085e vt f\x0bg ff h\x0ci nul j\x00k"), "ls a<U+2028>b<U+2029>c nel de vt fg ff hi nul jk");
  assert.equal(shows(`osc ${ESC}]0;title never ended and text`), "osc 0;title never ended and text");
  assert.equal(shows(`dcs ${ESC}Pq#0;2${ESC}\\ after`), "dcs  after");
  assert.equal(shows(`${ESC}]8;id=1;https://example.org/a?b${ESC}\\link${ESC}]8;;${ESC}\\ after`), "link after");
  assert.equal(shows("bom \ufeffx"), "bom x");
  assert.deepEqual(read("c1 \x9b31mred\x9b0m"), [[["c1 ", {}], ["red", { fg: 1 }]]]);
  assert.equal(shows("wide 漢字 emoji 👩‍👩‍👧 combining e\u0301"), "wide 漢字 emoji 👩‍👩‍👧 combining e\u0301");
});

test("a line is read again from the style in which it began", () => {
  const reader = ansiReader();
  reader(`${ESC}[31mred`);
  const { style } = reader;
  assert.equal(reader(`10%${ESC}[0m`)[0].style.fg, 1);
  reader.style = style;
  assert.equal(reader(`20%${ESC}[0m`)[0].style.fg, 1);
  assert.equal(reader("after")[0].style.fg, null);
});

test("what is copied is what is shown", () => {
  const items = [
    { stream: "stdout", line: `${ESC}[1;32m✓${ESC}[0m fine` },
    { stream: "stderr", line: "10%\r100%" },
    { stream: "stdout", line: "long", truncated: true },
    { stream: "stdout", line: "\u202egnp" },
  ];
  assert.equal(shownText(items), "✓ fine\n100%\nlong (line cut here)\n<U+202E>gnp");
});
