/** Who is connected, over all workers, and the way to end a connection. */
import { fill, h, setText, show } from "../app/dom.js";
import { momentMs } from "../client/tokens.js";

const REFRESH_MS = 5_000;
const KIB = 1024;
const COLUMNS = ["User", "Project", "Transport", "Open for", "Behind", "Address", "Worker"];

function age(openedAt, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - (momentMs(openedAt) ?? now)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  return bytes < KIB ? `${bytes} B` : `${Math.round(bytes / KIB)} KiB`;
}

/**
 * @param {object} options
 * @param {(method: string, path: string) => Promise<any>} options.request
 */
export function createConnections({ request }) {
  const status = h("p.muted", { role: "status", tabIndex: -1 });
  const problem = h("p.field-error", { role: "alert", hidden: true });
  const rows = h("tbody");
  const table = h(
    "table.connections",
    {},
    h("caption.visually-hidden", {}, "Open connections"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        [...COLUMNS, ""].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    rows,
  );
  const element = h("section.panel", { "aria-label": "Connections" }, status, problem, table);
  let timer = null;
  /** The one whose end is to be confirmed, so that a redraw does not take the question away. */
  let asking = null;
  let last = [];

  async function load() {
    try {
      const { connections, more } = await request("GET", "/connections");
      last = connections;
      draw();
      const many = `${connections.length.toLocaleString()} connection${connections.length === 1 ? "" : "s"}`;
      setText(status, more ? `The first ${many}` : many);
      show(problem, false);
    } catch (error) {
      setText(problem, `The connections could not be read: ${error.message}`);
      show(problem, true);
    }
  }

  function draw() {
    const focused = document.activeElement?.dataset?.connection;
    fill(
      rows,
      last.map((one) =>
        h(
          "tr",
          {},
          cells(one),
          h("td.act", {}, asking === one.id ? question(one) : button(one)),
        ),
      ),
    );
    if (focused) rows.querySelector(`[data-connection="${CSS.escape(focused)}"]`)?.focus();
  }

  function cells(one) {
    const values = [
      one.user_id,
      one.audit ? h("em", {}, "audit log") : one.project_id,
      one.transport,
      age(one.opened_at),
      size(one.behind_bytes),
      h("span.mono", {}, one.ip ?? "–"),
      h("span.mono", {}, one.worker),
    ];
    return values.map((value, at) => h("td", { dataset: { label: COLUMNS[at] } }, value));
  }

  function button(one) {
    return h(
      "button.danger.small",
      {
        type: "button",
        dataset: { connection: one.id },
        "aria-label": `Disconnect ${one.user_id}, ${one.transport}`,
        onclick: () => {
          asking = one.id;
          draw();
          rows.querySelector(".confirm")?.focus();
        },
      },
      "Disconnect",
    );
  }

  function question(one) {
    const user = encodeURIComponent(one.user_id);
    const all = `/connections?user_id=${user}`;
    const revoke = `/users/${user}/revoke`;
    return h(
      "span.question",
      {
        onkeydown: (event) => {
          if (event.key === "Escape") cancel();
        },
      },
      h(
        "button.danger.small.confirm",
        { type: "button", onclick: () => end(`/connections/${one.id}`) },
        "This one",
      ),
      h("button.danger.small", { type: "button", onclick: () => end(all) }, "All of the user"),
      h(
        "button.danger.small",
        {
          type: "button",
          title: "Ends all sessions of the user, and refuses every token issued until now",
          onclick: () => end(revoke, "POST"),
        },
        "All, and revoke tokens",
      ),
      h("button.quiet.small", { type: "button", onclick: cancel }, "Keep"),
    );
  }

  function cancel() {
    const kept = asking;
    asking = null;
    draw();
    rows.querySelector(`[data-connection="${CSS.escape(kept)}"]`)?.focus();
  }

  /** The row that was acted on is gone: whoever uses the keyboard goes on at the one in its place. */
  function focusRow(index) {
    const buttons = rows.querySelectorAll("[data-connection]");
    (buttons[Math.min(index, buttons.length - 1)] ?? status).focus();
  }

  async function end(path, method = "DELETE") {
    const index = last.findIndex((one) => one.id === asking);
    asking = null;
    try {
      await request(method, path);
    } catch (error) {
      setText(problem, `Not disconnected: ${error.message}`);
      show(problem, true);
      draw();
      focusRow(index);
      return;
    }
    await load();
    focusRow(index);
  }

  return {
    element,
    start() {
      void load();
      clearInterval(timer);
      timer = setInterval(() => document.hidden || asking || void load(), REFRESH_MS);
    },
    stop: () => clearInterval(timer),
  };
}
