/** The audit console: puts its parts together. */
import {
  complaintAbout,
  forgetToken,
  storedToken,
  storeToken,
  takeTokenFromAddress,
} from "../app/address.js";
import { fill, h, setText, show } from "../app/dom.js";
import { icon } from "../app/icons.js";
import { isLive } from "../app/words.js";
import { claimsOf, STOPPED } from "../client/index.js";
import { createChart } from "./chart.js";
import { createConnections } from "./connections.js";
import { createDrawer } from "./drawer.js";
import { Feed } from "./feed.js";
import { createFilters, filterInAddress, putInAddress } from "./filters.js";
import { asCsv, asJsonLines, download, Records } from "./records.js";
import { createTable } from "./table.js";

const HISTORY = 1_000;
const PAGE = 1_000;
/** What an export takes into memory. */
const MOST_EXPORTED = 200_000;
const root = document.getElementById("app");
let current = null;

function signIn(message) {
  current?.destroy();
  current = null;
  const error = h("p.field-error", { role: "alert" }, message);
  const token = h("textarea", {
    id: "token",
    rows: 4,
    required: true,
    spellcheck: false,
    autocomplete: "off",
  });
  fill(
    root,
    h(
      "main.sign-in",
      {},
      h("span.brand-mark", {}, icon("pulse")),
      h("h1", {}, "Audit console"),
      h("p.muted", {}, "Paste a token with the role admin."),
      h(
        "form",
        {
          onsubmit: async (event) => {
            event.preventDefault();
            const complaint = await complaintAbout(token.value.trim());
            if (complaint) {
              setText(error, complaint);
              token.focus();
              return;
            }
            storeToken(token.value.trim());
            void begin();
          },
        },
        h("label", { htmlFor: "token" }, "Token"),
        token,
        error,
        h("button.primary.wide", { type: "submit" }, "Sign in"),
      ),
    ),
  );
  token.focus();
}

function createConsole(token) {
  const records = new Records();
  const request = (method, path) => feed.request(method, path);
  const chart = createChart({ request, onSpan: (since, until) => filters.span(since, until) });
  const state = h("span.state", { role: "status" });
  const note = h("p.note", { role: "status", hidden: true });
  const count = h("span.muted.count");
  const empty = h("p.empty.muted");
  let feed = null;
  let connection = { name: "connecting" };
  let isPaused = false;
  let mistake = false;
  let wanted = filterInAddress().query;

  const table = createTable({ onOpen: (record) => drawer.open(record) });
  const drawer = createDrawer({
    onClose: () => table.focus(),
    onNarrow: (name, value) => filters.narrow(name, value),
    onStep: (by) => table.step(by),
  });
  const filters = createFilters({
    onFilter: (query) => {
      putInAddress(query, filters.search.value);
      follow(query);
    },
    onSearch: (text) => {
      putInAddress(filterInAddress().query, text);
      records.search(text);
      refresh();
    },
  });
  const connections = createConnections({ request });

  const older = h("button", { type: "button", onclick: () => void loadOlder() }, "Older");
  const pause = h("button", { type: "button", onclick: togglePause });
  const recordsPanel = h(
    "section.panel.records",
    { "aria-label": "Records" },
    filters.element,
    chart.element,
    h(
      "div.toolbar",
      {},
      filters.search,
      count,
      h("span.space"),
      older,
      pause,
      h("button", { type: "button", onclick: () => void save("jsonl") }, icon("down"), "JSON Lines"),
      h("button", { type: "button", onclick: () => void save("csv") }, icon("down"), "CSV"),
    ),
    note,
    h("div.table-and-drawer", {}, h("div.table-box", {}, table.element, empty), drawer.element),
  );
  const tabs = ["Records", "Connections"].map((name) =>
    h("button.tab", { type: "button", role: "tab", onclick: () => openTab(name) }, name),
  );
  const body = h("main", { id: "main" });
  const element = h(
    "div.console",
    {},
    h(
      "header.topbar",
      {},
      h("span.brand-mark", {}, icon("pulse")),
      h("h1", {}, "Audit"),
      h("div.tabs", { role: "tablist", "aria-label": "Audit console" }, tabs),
      h("span.space"),
      state,
      h("span.muted.who", {}, claimsOf(token).name ?? claimsOf(token).sub ?? ""),
      h(
        "button.quiet.small",
        {
          type: "button",
          onclick: () => {
            forgetToken();
            signIn("");
          },
        },
        icon("out"),
        "Sign out",
      ),
    ),
    body,
  );

  function openTab(name) {
    for (const tab of tabs) {
      const chosen = tab.textContent === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    if (name === "Connections") {
      fill(body, connections.element);
      connections.start();
    } else {
      connections.stop();
      fill(body, recordsPanel);
      refresh();
    }
  }

  for (const tab of tabs) {
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const other = tabs.find((one) => one !== tab);
      openTab(other.textContent);
      other.focus();
    });
  }

  function follow(query) {
    feed?.close();
    records.clear();
    wanted = query;
    back = null;
    let isCounted = false;
    older.disabled = false;
    mistake = false;
    say("");
    refresh();
    feed = new Feed({
      token,
      query,
      history: HISTORY,
      handlers: {
        onRecords(batch) {
          const added = records.add(batch);
          chart.add(batch);
          refresh(added);
        },
        onWelcome() {
          say("");
          // Only now it is known that the filter, and the token, will do.
          if (!isCounted) void chart.load(query);
          isCounted = true;
        },
        onGap(gap) {
          const many = gap.lost === null ? "Records" : `${gap.lost.toLocaleString()} records`;
          say(
            gap.reason === "paused"
              ? `${many} came during the pause beyond what is kept for it, and are left out here.`
              : `${many} were overwritten before they could be shown.`,
          );
          void chart.load(wanted);
        },
        onState(next, paused) {
          connection = next;
          isPaused = paused;
          if (next.name === "stopped") stopped(next);
          drawState();
          refresh(); // Where nothing is there, the words depend on whether more may come.
        },
      },
    });
  }

  function stopped({ because, reason }) {
    if (because === STOPPED.unauthorized || because === STOPPED.forbidden) {
      forgetToken();
      signIn(`${reason}. Sign in with a token that has the role admin.`);
      return;
    }
    mistake = true;
    say(reason || "The server ended the connection.");
  }

  function say(text) {
    setText(note, text);
    show(note, text !== "");
    refresh();
  }

  function drawState() {
    const seconds = Math.max(0, Math.ceil(((connection.at ?? 0) - Date.now()) / 1000));
    const looks = {
      connecting: ["tone-quiet", "Connecting…"],
      live: isPaused ? ["tone-info", "Paused"] : ["tone-good", "Live"],
      stale: ["tone-warning", "Checking"],
      reconnecting: ["tone-warning", `Reconnecting in ${seconds} s`],
      stopped: ["tone-bad", "Stopped"],
    };
    const [tone, words] = looks[connection.name];
    state.className = `state ${tone}`;
    setText(state, words);
    setText(pause, isPaused ? "Resume" : "Pause");
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.disabled = !isLive(connection);
  }

  function refresh(added = 0) {
    table.update(records.shown, added);
    const all = records.size.toLocaleString();
    const shown = records.shown.length.toLocaleString();
    setText(count, shown === all ? `${all} loaded` : `${shown} of ${all} loaded`);
    show(empty, records.shown.length === 0);
    if (mistake) setText(empty, "Correct the filter and apply it again.");
    else if (records.size > 0) setText(empty, "Nothing that is loaded matches the search.");
    else if (connection.name === "live" && !isPaused) {
      setText(empty, "No records yet. They appear here as they come.");
    } else setText(empty, "Loading…");
  }

  function togglePause() {
    if (isPaused) feed.resume();
    else feed.pause();
  }

  /** Where to read back from next; null: from the oldest that is loaded. */
  let back = null;

  async function loadOlder() {
    const from = back ?? records.first?.id;
    if (from === undefined) return;
    const query = new URLSearchParams(wanted);
    query.set("before", from);
    query.set("limit", String(PAGE));
    older.disabled = true;
    const asked = wanted;
    try {
      const page = await request("GET", `/audit?${query}`);
      if (asked !== wanted) return; // The filter is another one by now.
      records.addOlder(page.records);
      back = page.position;
      older.disabled = !page.more;
      if (!page.more) say("These are all that are kept.");
      refresh();
    } catch (error) {
      older.disabled = false;
      say(`Older records could not be loaded: ${error.message}.`);
    }
  }

  /** All that the filter and the search leave, whether it is loaded or not. */
  async function save(form) {
    const query = new URLSearchParams(wanted);
    query.set("limit", String(PAGE));
    const found = [];
    try {
      for (let more = true; more && found.length < MOST_EXPORTED; ) {
        const page = await request("GET", `/audit?${query}`);
        for (const record of page.records) if (records.matches(record)) found.push(record);
        query.set("after", page.position);
        more = page.more;
        if (more) say(`Exporting: ${found.length.toLocaleString()} records so far…`);
      }
    } catch (error) {
      say(`Nothing was exported: ${error.message}.`);
      return;
    }
    const isAll = found.length < MOST_EXPORTED;
    const many = `${found.length.toLocaleString()} records that match`;
    say(
      isAll
        ? `${many} were exported.`
        : `The first ${many} were exported. For more narrow the filter, or run “rtserver audit”.`,
    );
    // Oldest first, as they happened, like the archives.
    const stamp = new Date().toISOString().replaceAll(":", "").slice(0, 15);
    if (form === "csv") download(`audit-${stamp}.csv`, "text/csv", asCsv(found));
    else download(`audit-${stamp}.jsonl`, "application/jsonl", asJsonLines(found));
  }

  const timer = setInterval(drawState, 500);
  records.search(filterInAddress().search);
  openTab("Records");
  drawState();
  follow(filterInAddress().query);
  return {
    element,
    destroy() {
      clearInterval(timer);
      chart.destroy();
      connections.stop();
      feed?.close();
    },
  };
}

async function begin() {
  takeTokenFromAddress();
  const token = storedToken();
  const complaint = token ? await complaintAbout(token) : "";
  if (!token || complaint) {
    signIn(complaint ?? "");
    return;
  }
  current?.destroy();
  current = createConsole(token);
  fill(root, current.element);
}

// Back and forward: the filter that the address has now.
addEventListener("popstate", () => {
  if (current) void begin();
});
addEventListener("hashchange", () => {
  if (takeTokenFromAddress()) void begin();
});
void begin();
