/**
 * The ways in, each behind one small interface: `open(context, report)` gives a handle.
 *
 * context: {base, project, socket, view: {proposals, focus}, token, lastEventId, env}
 * report:  frame(object, low?), heard(), malformed(text), closed({code?, status?, reason,
 *          retryAfterMs?, unsupported?}) - `closed` once, and never after the handle's `close`
 * handle:  send(object) -> whether it was sent; close(code, reason); and, where the transport has
 *          another way than a command, setView(view) and setToken(token)
 */
import { openSse } from "./sse.js";

/** @param {string} base an http(s) address without a slash at its end */
function socketAddress(base, path) {
  return base.replace(/^http/, "ws") + path;
}

function parseFrames(text, report) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    report.malformed(String(text).slice(0, 200));
    return [];
  }
  const frames = Array.isArray(value) ? value : [value];
  return frames.filter((frame) => {
    const good = frame !== null && typeof frame === "object" && typeof frame.type === "string";
    if (!good) report.malformed(JSON.stringify(frame)?.slice(0, 200) ?? "");
    return good;
  });
}

/** Gives events of a socket object (WebSocket or SockJS) to `report`, until it is closed. */
function socketHandle(socket, report, onOpen) {
  let over = false;
  const end = (event) => {
    if (over) return;
    over = true;
    report.closed({ code: event.code, reason: event.reason ?? "" });
  };
  socket.onopen = () => {
    if (!over) onOpen?.(socket);
  };
  socket.onmessage = (event) => {
    for (const frame of parseFrames(event.data, report)) {
      if (over) return;
      report.frame(frame);
    }
  };
  socket.onclose = end;
  // An error is always followed by a close, which says more.
  socket.onerror = () => {};
  return {
    send(frame) {
      if (over || socket.readyState !== 1) return false;
      socket.send(JSON.stringify(frame));
      return true;
    },
    close(code, reason) {
      if (over) return;
      over = true;
      socket.close(code, reason);
    },
  };
}

export function openWebSocket({ base, token, env, ...where }, report) {
  const path = where.socket ? where.socket.path(where.lastEventId) : projectPath(where);
  // The token goes as a subprotocol: a query would end up in access logs.
  const socket = new env.WebSocket(socketAddress(base, path), ["bearer", token]);
  return socketHandle(socket, report);
}

function projectPath({ project, view, lastEventId }) {
  const query = new URLSearchParams();
  if (lastEventId) query.set("last_event_id", lastEventId);
  for (const id of view.proposals) query.append("proposal_id", id);
  for (const id of view.focus) query.append("focus", id);
  const suffix = query.size === 0 ? "" : `?${query}`;
  return `/ws/projects/${encodeURIComponent(project)}${suffix}`;
}

export function openSockJs({ base, project, view, token, lastEventId, env }, report) {
  const socket = new env.SockJS(`${base}/sockjs/projects`);
  return socketHandle(socket, report, () => {
    const hello = { type: "hello", token, project_id: project, proposal_ids: view.proposals };
    if (lastEventId) hello.last_event_id = lastEventId;
    if (view.focus.length > 0) hello.focus = view.focus;
    socket.send(JSON.stringify(hello));
  });
}

/** Name to opener, and whether this environment has what it takes. */
export const TRANSPORTS = Object.freeze({
  websocket: { open: openWebSocket, available: (env) => typeof env.WebSocket === "function" },
  sse: {
    open: openSse,
    available: (env) =>
      typeof env.fetch === "function" && typeof globalThis.ReadableStream === "function",
  },
  // A page may load the library only when it comes to that: see `loadSockJS`.
  sockjs: {
    open: openSockJs,
    available: (env) => typeof env.SockJS === "function" || typeof env.loadSockJS === "function",
  },
});
