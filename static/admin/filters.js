/** The filter: a form that stands in the address, so that a view can be shared. */
import { fill, h } from "../app/dom.js";
import { momentMs } from "../client/tokens.js";

const TEXTS = [
  ["action", "Action", "connection.*"],
  ["actor", "Actor", "anyone"],
  ["project_id", "Project", "any"],
  ["target", "Target", "any"],
];
/** Two logs, so that nobody can push records of users out by being refused often. */
const LOGS = [
  ["users", "Users and server"],
  ["strangers", "Strangers (no valid token)"],
];
const OUTCOMES = ["", "allowed", "denied", "failed"];
const SPANS = [
  ["", "All that is kept"],
  ["15", "Last 15 minutes"],
  ["60", "Last hour"],
  ["1440", "Last day"],
];

/** What the address says: the server's filter, and the search over what is loaded. */
export function filterInAddress() {
  const given = new URLSearchParams(location.search);
  const query = new URLSearchParams();
  for (const name of ["log", "action", "actor", "project_id", "target", "outcome", "since", "until"]) {
    for (const value of given.getAll(name)) if (value !== "") query.append(name, value);
  }
  return { query, search: given.get("q") ?? "" };
}

/** A filter is a step that the Back button undoes; what one types into the search is not. */
export function putInAddress(query, search) {
  const all = new URLSearchParams(query);
  if (search) all.set("q", search);
  const text = all.toString();
  const address = `${location.pathname}${text ? `?${text}` : ""}`;
  const isStep = query.toString() !== filterInAddress().query.toString();
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** A moment as a field for local times has it. */
function localTime(moment) {
  const ms = momentMs(moment);
  if (ms === null) return "";
  const shifted = ms - new Date(ms).getTimezoneOffset() * 60_000;
  return new Date(shifted).toISOString().slice(0, 19);
}

/**
 * @param {object} options
 * @param {(query: URLSearchParams) => void} options.onFilter
 * @param {(text: string) => void} options.onSearch
 */
export function createFilters({ onFilter, onSearch }) {
  const start = filterInAddress();
  const inputs = new Map();
  const fields = TEXTS.map(([name, label, placeholder]) => {
    const input = h("input", {
      id: `filter-${name}`,
      name,
      placeholder,
      value: start.query.getAll(name).join(", "),
      autocomplete: "off",
      spellcheck: false,
    });
    inputs.set(name, input);
    return h("div.field", {}, h("label", { htmlFor: `filter-${name}` }, label), input);
  });
  const outcome = h(
    "select",
    { id: "filter-outcome", name: "outcome" },
    OUTCOMES.map((value) => h("option", { value }, value || "any")),
  );
  outcome.value = start.query.get("outcome") ?? "";
  const log = h(
    "select",
    { id: "filter-log", name: "log" },
    LOGS.map(([value, words]) => h("option", { value }, words)),
  );
  log.value = start.query.get("log") === "strangers" ? "strangers" : "users";
  const since = h("select", { id: "filter-since", name: "since" });
  const spans = [...SPANS];
  if (start.query.get("since")) {
    spans.push(["as-given", `Since ${start.query.get("since")}`]);
  }
  fill(
    since,
    spans.map(([value, words]) => h("option", { value }, words)),
  );
  since.value = start.query.get("since") ? "as-given" : "";
  const until = h("input", {
    id: "filter-until",
    name: "until",
    type: "datetime-local",
    step: 1,
    value: localTime(start.query.get("until")),
  });
  /** Since when, where it is none of the spans: by the address, or by a click on the chart. */
  let given = start.query.get("since");
  const search = h("input.search", {
    id: "search",
    type: "search",
    value: start.search,
    placeholder: "Search in what is loaded",
    "aria-label": "Search in what is loaded",
    autocomplete: "off",
    spellcheck: false,
  });

  function query() {
    const made = new URLSearchParams();
    if (log.value !== "users") made.set("log", log.value);
    for (const [name, input] of inputs) {
      // Actions may be several; all else is one text, commas and all.
      const values = name === "action" ? input.value.split(/[\s,]+/) : [input.value.trim()];
      for (const value of values) if (value !== "") made.append(name, value);
    }
    if (outcome.value) made.set("outcome", outcome.value);
    if (since.value === "as-given") made.set("since", given);
    else if (since.value) {
      made.set("since", new Date(Date.now() - Number(since.value) * 60_000).toISOString());
    }
    if (until.value) made.set("until", new Date(until.value).toISOString());
    return made;
  }

  const form = h(
    "form.filters",
    {
      "aria-label": "Filter",
      onsubmit: (event) => {
        event.preventDefault();
        onFilter(query());
      },
    },
    h("div.field", {}, h("label", { htmlFor: "filter-log" }, "Whose"), log),
    fields,
    h("div.field", {}, h("label", { htmlFor: "filter-outcome" }, "Outcome"), outcome),
    h("div.field", {}, h("label", { htmlFor: "filter-since" }, "Since"), since),
    h("div.field", {}, h("label", { htmlFor: "filter-until" }, "Until"), until),
    h(
      "div.filter-buttons",
      {},
      h("button.primary", { type: "submit" }, "Apply"),
      h("button.quiet", { type: "button", onclick: clear }, "Clear"),
    ),
  );

  function clear() {
    for (const input of inputs.values()) input.value = "";
    log.value = "users";
    outcome.value = "";
    since.value = "";
    until.value = "";
    search.value = "";
    onSearch("");
    onFilter(query());
  }

  for (const select of [log, outcome, since, until]) {
    select.addEventListener("change", () => onFilter(query()));
  }
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => onSearch(search.value), 150);
  });

  return {
    element: form,
    search,
    /** Only what was in a span of time. */
    span(sinceMs, untilMs) {
      given = new Date(sinceMs).toISOString();
      since.querySelector('[value="as-given"]')?.remove();
      since.append(h("option", { value: "as-given" }, `Since ${localTime(given).replace("T", " ")}`));
      since.value = "as-given";
      until.value = localTime(new Date(untilMs).toISOString());
      onFilter(query());
    },
    /** Fill one field and apply, as from the drawer's "only these". */
    narrow(name, value) {
      if (inputs.has(name)) inputs.get(name).value = value;
      if (name === "outcome") outcome.value = value;
      onFilter(query());
    },
  };
}
