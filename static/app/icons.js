/** The page's icons: 20 by 20 line drawings, made as elements so that no markup is parsed. */
const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  pulse: "M2 10.5h3.2l2-6 3.6 11.5 2.6-8 1.3 2.5H18",
  check: "M4.5 10.5l3.6 3.7 7.4-8.2",
  cross: "M5.5 5.5l9 9m0-9l-9 9",
  warning: "M10 3.2L18 16.8H2L10 3.2zm0 4.9v4m0 2.2v.1",
  info: "M10 17.5a7.5 7.5 0 100-15 7.5 7.5 0 000 15zm0-8.2v4.4m0-7.3v.1",
  stop: "M6 6h8v8H6z",
  play: "M6.5 4.4v11.2L15.5 10 6.5 4.4z",
  lock: "M5 9h10v8H5zm2-.2V6.2a3 3 0 016 0v2.6",
  back: "M12 4.5L6.5 10l5.5 5.5",
  down: "M10 4v11m-4.5-4.5L10 15l4.5-4.5",
  retry: "M15.8 8A6.2 6.2 0 104 12.6M16 3.6V8h-4.4",
  file: "M5.5 2.8h6l3.5 3.6v10.8h-9.5zm6 0v3.6H15",
  people:
    "M7.5 9.5a2.8 2.8 0 100-5.6 2.8 2.8 0 000 5.6zm-5 7c.3-2.9 2.3-4.6 5-4.6s4.7 1.7 5 4.6m.3-7.3a2.3 2.3 0 100-4.6m2.4 9.4c1.3.4 2.2 1.3 2.5 2.7",
  out: "M8 3.5H4v13h4m4-10l3.5 3.5L12 13.5M15.3 10H8",
  wrap: "M3 5h14M3 10h11a2.7 2.7 0 010 5.4h-3m2-2l-2 2 2 2M3 15h4",
  copy: "M7 7h9.5v9.5H7zM4 13H3.5V3.5H13V4",
  unplugged: "M3 17l3.5-3.5m7-7L17 3M8 6.5L5.8 8.7a3.2 3.2 0 004.5 4.5L12.5 11m-5-1l5 5",
  bell: "M10 3a4.6 4.6 0 00-4.6 4.6c0 4.4-1.6 5.6-1.6 5.6h12.4s-1.6-1.2-1.6-5.6A4.6 4.6 0 0010 3zm-1.6 12.6a1.7 1.7 0 003.2 0",
  comment: "M3.5 4h13v9.5H9L5.5 16.5v-3h-2z",
  clock: "M10 17.5a7.5 7.5 0 100-15 7.5 7.5 0 000 15zm0-12V10l3 2",
};

/** @param {keyof typeof PATHS} name; the icon is decoration, so the text beside it must say all */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A ring that turns while something is under way. */
export function spinner() {
  const element = document.createElement("span");
  element.className = "spinner";
  element.setAttribute("aria-hidden", "true");
  return element;
}
