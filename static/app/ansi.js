/**
 * Terminal output as styled pieces of text (ECMA-48 SGR; 16, 256 and 24-bit colours).
 *
 * Everything else a terminal would obey (titles, links) is dropped; what rewrites a line was carried
 * out by the server. What would turn a line round or hide in it is shown by its number. Nothing is
 * ever HTML.
 */

/** The colours 16 to 255: a cube of 6 by 6 by 6, then 24 greys. The first 16 are the theme's. */
function paletteColour(index) {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [grey, grey, grey];
  }
  const level = (value) => (value === 0 ? 0 : 55 + value * 40);
  const at = index - 16;
  return [level(Math.floor(at / 36)), level(Math.floor(at / 6) % 6), level(at % 6)];
}

const PLAIN = Object.freeze({
  fg: null, // 0 to 15 of the theme, [red, green, blue], or null for the default
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  hidden: false,
  strike: false,
});

/**
 * CSI sequences, then strings (titles, links, pictures) where they end, then short ones. Of a string
 * that does not end only the beginning is taken away, so that it hides nothing.
 */
const ESCAPES =
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~]|$)|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c))?|\x1b(?:[ -/]*[0-~]|$)/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]/g;
/** Separators of lines and paragraphs, and what changes the direction of text (UAX #9). */
const INVISIBLE = /[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function visible(char) {
  return `<U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`;
}

/**
 * A reader of one stream's lines. Styles carry over from line to line, as in a terminal.
 *
 * @returns {((line: string) => {text: string, style: typeof PLAIN}[]) & {style: typeof PLAIN}}
 *   `style` is the one in which the next line begins
 */
export function ansiReader() {
  function read(line) {
    let { style } = read;
    const pieces = [];
    const add = (text) => {
      const clean = text.replace(CONTROLS, "").replace(INVISIBLE, visible);
      if (clean === "") return;
      const last = pieces.at(-1);
      if (last && last.style === style) last.text += clean;
      else pieces.push({ text: clean, style });
    };
    const shown = afterCarriageReturn(line);
    for (const [, parameters, final] of shown.skipped.matchAll(ESCAPES)) {
      if (final === "m") style = applySgr(style, parameters);
    }
    let from = 0;
    for (const match of shown.text.matchAll(ESCAPES)) {
      add(shown.text.slice(from, match.index));
      from = match.index + match[0].length;
      if (match[2] === "m") style = applySgr(style, match[1]);
    }
    add(shown.text.slice(from));
    read.style = style;
    return pieces;
  }
  read.style = PLAIN;
  return read;
}

/** Should a line have returns in it, what follows the last one is what stays to be seen. */
function afterCarriageReturn(line) {
  const trimmed = line.replace(/\r+$/, "");
  const at = trimmed.lastIndexOf("\r");
  return { skipped: trimmed.slice(0, at + 1), text: trimmed.slice(at + 1) };
}

/** Lines {stream, line, truncated} as they are shown, as text. */
export function shownText(items) {
  const readers = new Map();
  const lines = items.map(({ stream, line, truncated }) => {
    if (!readers.has(stream)) readers.set(stream, ansiReader());
    const pieces = readers.get(stream)(String(line ?? ""));
    return pieces.map(({ text }) => text).join("") + (truncated ? CUT : "");
  });
  return lines.join("\n");
}

/** What stands at the end of a line of which the server kept only the beginning. */
export const CUT = " (line cut here)";

/**
 * @param {typeof PLAIN} style
 * @param {string} parameters between `ESC [` and `m`; both `38;5;1` and `38:5:1` are understood
 */
export function applySgr(style, parameters) {
  const codes = parameters.split(";").map((part) => part.split(":").map(Number));
  let next = { ...style };
  for (let at = 0; at < codes.length; at += 1) {
    const [code] = codes[at];
    if (Number.isNaN(code)) continue;
    if (code === 38 || code === 48) {
      const { colour, used } = extendedColour(codes, at);
      if (colour !== undefined) next[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    } else if (code === 0) {
      next = { ...PLAIN };
    } else if (code === 4 && codes[at][1] === 0) {
      next.underline = false;
    } else {
      applySimple(next, code);
    }
  }
  const plain = Object.keys(PLAIN).every((key) => next[key] === PLAIN[key]);
  return plain ? PLAIN : next;
}

const SIMPLE = new Map([
  [1, { bold: true }],
  [2, { dim: true }],
  [3, { italic: true }],
  [4, { underline: true }],
  [7, { inverse: true }],
  [8, { hidden: true }],
  [9, { strike: true }],
  [21, { underline: true }],
  [22, { bold: false, dim: false }],
  [23, { italic: false }],
  [24, { underline: false }],
  [27, { inverse: false }],
  [28, { hidden: false }],
  [29, { strike: false }],
  [39, { fg: null }],
  [49, { bg: null }],
]);

function applySimple(style, code) {
  if (SIMPLE.has(code)) Object.assign(style, SIMPLE.get(code));
  else if (code >= 30 && code <= 37) style.fg = code - 30;
  else if (code >= 40 && code <= 47) style.bg = code - 40;
  else if (code >= 90 && code <= 97) style.fg = code - 90 + 8;
  else if (code >= 100 && code <= 107) style.bg = code - 100 + 8;
}

function extendedColour(codes, at) {
  const inColons = codes[at].length > 1;
  // With colons a colour space may stand before the three components: 38:2::R:G:B.
  const rest = inColons ? codes[at].slice(1) : codes.slice(at + 1, at + 5).map(([code]) => code);
  if (rest[0] === 5) {
    return { colour: indexed(rest[1]), used: inColons ? 0 : 2 };
  }
  if (rest[0] === 2) {
    const parts = inColons && rest.length >= 5 ? rest.slice(-3) : rest.slice(1, 4);
    const good = parts.length === 3 && parts.every((part) => part >= 0 && part <= 255);
    return { colour: good ? parts : undefined, used: inColons ? 0 : 4 };
  }
  return { colour: undefined, used: codes.length }; // Nobody knows how long it is: drop the rest.
}

function indexed(index) {
  if (!(index >= 0 && index <= 255)) return undefined;
  return index < 16 ? index : paletteColour(index);
}

/** Relative luminance (WCAG 2.2). */
function luminance(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

/**
 * A program does not know this terminal's background: lighten or darken what could not be read.
 *
 * @param {number[]} rgb
 * @param {number[]} background
 */
export function readable(rgb, background, least = 4.5) {
  const towards = luminance(background) > 0.18 ? 0 : 255;
  for (let share = 0; share <= 1; share += 0.1) {
    const mixed = rgb.map((part) => Math.round(part + (towards - part) * share));
    if (contrast(mixed, background) >= least) return mixed;
  }
  return [towards, towards, towards];
}

const TERMINAL_BACKGROUND = [13, 16, 23];

/** Write a piece as an element; the sixteen colours of the theme are classes (see terminal.css). */
export function pieceElement({ text, style }) {
  if (style === PLAIN) return document.createTextNode(text);
  const span = document.createElement("span");
  span.textContent = text;
  const names = ["bold", "dim", "italic", "underline", "strike", "hidden"];
  const classes = names.filter((name) => style[name]).map((name) => `sgr-${name}`);
  let { fg, bg } = style;
  if (style.inverse) {
    [fg, bg] = [bg ?? "default-bg", fg ?? "default-fg"];
  }
  const under = Array.isArray(bg) ? bg : TERMINAL_BACKGROUND;
  if (Array.isArray(fg)) span.style.color = `rgb(${readable(fg, under).join(" ")})`;
  else if (fg !== null) classes.push(`fg-${fg}`);
  if (Array.isArray(bg)) span.style.backgroundColor = `rgb(${bg.join(" ")})`;
  else if (bg !== null) classes.push(`bg-${bg}`);
  if (Array.isArray(bg) && fg === null) {
    span.style.color = `rgb(${readable([220, 225, 235], bg).join(" ")})`;
  }
  if (classes.length > 0) span.className = classes.join(" ");
  return span;
}
