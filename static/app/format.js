/** Numbers, times and words as people read them. */

const integer = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export function count(number, one, many = `${one}s`) {
  return `${integer.format(number)} ${number === 1 ? one : many}`;
}

/** @param {string | number | null} moment RFC 3339, or milliseconds since 1970 */
export function timeOf(moment) {
  const date = new Date(moment ?? NaN);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return (today ? clock : dayAndClock).format(date);
}

const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

/** A moment with its day, its seconds and its time zone. */
export function wholeTimeOf(moment) {
  const date = new Date(moment ?? NaN);
  return Number.isNaN(date.getTime()) ? "" : whole.format(date);
}

/** 850 ms, 12.3 s, 2 min 05 s */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Time gone by, in whole seconds, for what is still going on. */
export function elapsed(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

/** `in_review` as "In review" */
export function words(identifier) {
  const text = String(identifier ?? "")
    .replace(/[_-]+/g, " ")
    .trim();
  return text === "" ? "" : text[0].toUpperCase() + text.slice(1);
}

export function listOf(names) {
  return new Intl.ListFormat("en", { type: "conjunction" }).format(names);
}

export function initials(name) {
  const parts = String(name)
    .trim()
    .split(/[\s._-]+/)
    .filter(Boolean);
  const letters = parts.length > 1 ? parts[0][0] + parts.at(-1)[0] : (parts[0] ?? "?").slice(0, 2);
  return letters.toUpperCase();
}
