/*
 * A project over SockJS, as a page of 2012 would follow it: ECMAScript 5, sockjs-client, no build.
 *
 * It says hello with the last event id that it has seen, so that whatever broke the connection, each
 * event is shown once and in order; the tab keeps that id, so that a reload goes on there, too. Where
 * the server says that events are lost, the state is fetched anew. "#project=P&token=T" opens a project; "?transport=xhr-polling" forces one of sockjs-client's
 * transports.
 */
(function () {
  "use strict";

  var MAX_SHOWN = 1000;
  var MAX_WAIT_MS = 30000;
  var STABLE_MS = 10000;
  var TOKEN_KEY = "rtserver.token";
  var POSITION_KEY = "rtserver.legacy.";

  var project = null;
  var token = null;
  var socket = null;
  var lastEventId = null;
  var closing = null;
  var failures = 0;
  var retryTimer = null;
  var watchdog = null;
  var quietMs = 60000;
  var fetching = false;
  var fetchAgain = false;
  var hasState = false;
  var isLive = false;
  /** Validations under way: the run of each proposal. */
  var running = {};
  /** Escape sequences for terminals: control sequences, operating system commands, and others. */
  var ESCAPES = /\x1b(?:\[[0-?]*[ -\/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -\/]*[0-~])/g;

  function byId(id) {
    return document.getElementById(id);
  }

  function readPairs(text) {
    var pairs = {};
    var parts = text.replace(/^[?#]/, "").split("&");
    for (var i = 0; i < parts.length; i += 1) {
      var at = parts[i].indexOf("=");
      if (at > 0) {
        pairs[parts[i].slice(0, at)] = decodeURIComponent(parts[i].slice(at + 1).replace(/\+/g, " "));
      }
    }
    return pairs;
  }

  function remember(key, value) {
    try {
      window.sessionStorage.setItem(key, value);
    } catch (ignored) {
      // Storage may be off; then a reload begins anew.
    }
  }

  function remembered(key) {
    try {
      return window.sessionStorage.getItem(key);
    } catch (ignored) {
      return null;
    }
  }

  function seen(id) {
    lastEventId = id;
    remember(POSITION_KEY + project, id);
  }

  function show(text, kind) {
    var state = byId("state");
    state.className = kind || "";
    state.textContent = text;
    isLive = kind === "live";
    var buttons = byId("proposals").getElementsByTagName("button");
    for (var i = 0; i < buttons.length; i += 1) {
      buttons[i].disabled = !isLive;
    }
  }

  // The connection

  function connect() {
    retryTimer = null;
    closing = null;
    show("Connecting");
    var forced = readPairs(window.location.search).transport;
    var opened = new SockJS("/sockjs/projects", null, forced ? { transports: [forced] } : {});
    var openedMs = 0;
    socket = opened;
    // Some transports don't notice that their connection is gone. The server is never silent for
    // longer than its heartbeat, so whoever hears nothing has lost it.
    opened.onheartbeat = heard;
    opened.onopen = function () {
      heard();
      openedMs = new Date().getTime();
      opened.send(JSON.stringify({
        type: "hello", project_id: project, token: token, last_event_id: lastEventId
      }));
    };
    opened.onmessage = function (message) {
      heard();
      take(JSON.parse(message.data), opened.transport);
    };
    opened.onclose = function (end) {
      socket = null;
      window.clearTimeout(watchdog);
      if (openedMs && new Date().getTime() - openedMs > STABLE_MS) {
        failures = 0;
      }
      ended(end);
    };
  }

  function heard() {
    window.clearTimeout(watchdog);
    watchdog = window.setTimeout(function () {
      if (socket !== null) {
        socket.close(3000, "Nothing was heard any more");
      }
    }, quietMs);
  }

  function ended(end) {
    if (closing !== null && !closing.reconnect) {
      show("Stopped: " + closing.reason, "stopped");
      if (closing.code === 4001 || closing.code === 4003) {
        signIn(); // Another token may do.
      }
      return;
    }
    failures += 1;
    var most = Math.min(MAX_WAIT_MS, 500 * Math.pow(2, failures));
    var waitMs = Math.round(Math.random() * most);
    if (closing !== null && typeof closing.retry_after_ms === "number") {
      waitMs = Math.max(waitMs, closing.retry_after_ms);
    }
    show("Disconnected (" + (closing ? closing.reason : end.reason || end.code) +
      "), reconnecting in " + Math.ceil(waitMs / 1000) + " s", "waiting");
    retryTimer = window.setTimeout(connect, waitMs);
  }

  function reconnectNow() {
    if (retryTimer !== null) {
      window.clearTimeout(retryTimer);
      connect();
    }
  }

  function send(command) {
    if (socket !== null) {
      socket.send(JSON.stringify(command));
    }
  }

  // What the server says

  function take(frame, transport) {
    switch (frame.type) {
    case "welcome":
      show("Live, over " + transport, "live");
      if (frame.resume.outcome === "fresh" || frame.resume.outcome === "lost") {
        seen(frame.position);
      }
      running = {};
      for (var i = 0; i < frame.active_runs.length; i += 1) {
        noteRun(frame.active_runs[i], true);
      }
      drawButtons();
      quietMs = 1000 * (frame.heartbeat.ping_interval_s + frame.heartbeat.pong_timeout_s);
      heard();
      if (!hasState) {
        fetchState();
      }
      break;
    case "presence":
      byId("present").textContent = frame.count === 1 ? "Nobody else has the project open." :
        frame.count + " people have the project open.";
      break;
    case "gap":
      addLine("gap", (frame.lost === null ? "Events" : frame.lost + " events") +
        " could not be delivered; the state is fetched anew", "gap");
      fetchState();
      break;
    case "position":
      seen(frame.id);
      break;
    case "closing":
      closing = frame;
      break;
    case "error":
      addLine("refused", frame.error, "gap");
      break;
    default:
      if (frame.id) {
        seen(frame.id);
        takeEvent(frame);
      }
    }
  }

  /** Remember or forget that a proposal is being validated. */
  function noteRun(run, isUnderWay) {
    var key = "p " + run.proposal_id; // No id is taken for what an object has by itself.
    if (isUnderWay && run.kind !== "iteration") {
      running[key] = run.run_id;
    } else if (running[key] === run.run_id) {
      delete running[key];
    }
  }

  function takeEvent(event) {
    if (event.run_id && event.type !== "output" && event.type !== "token") {
      if (/^validation_start$|^run_queued$/.test(event.type)) {
        noteRun(event, true);
      } else if (/^validation_/.test(event.type)) {
        noteRun(event, false);
      }
      drawButtons();
    }
    addLine(event.type, describe(event), "", event.id);
    if (/^proposal_|^status_changed$|^lock_changed$/.test(event.type)) {
      fetchState();
    }
  }

  function describe(event) {
    var words = event.proposal_id ? event.proposal_id + "  " : "";
    if (event.type === "output") {
      return words + printed(event.line);
    }
    if (event.type === "token") {
      return words + (event.reasoning || event.content);
    }
    if (event.type === "status_changed") {
      return words + event.from + " to " + event.to;
    }
    if (event.type === "comment_created") {
      return words + event.comment.text;
    }
    if (event.type === "lock_changed") {
      return event.locked ? "locked by " + event.by : "unlocked by " + event.by;
    }
    if (event.status) {
      return words + event.status;
    }
    if (event.error) {
      return words + event.error;
    }
    return words + (event.data === undefined ? "" : JSON.stringify(event.data));
  }

  /** A line as a terminal would leave it: without escapes, and what a carriage return wrote over. */
  function printed(line) {
    var parts = line.replace(ESCAPES, "").replace(/\r+$/, "").split("\r");
    return parts[parts.length - 1];
  }

  function addLine(kind, text, className, id) {
    var list = byId("events");
    var atEnd = window.innerHeight + window.pageYOffset >= document.body.offsetHeight - 40;
    var line = document.createElement("li");
    var label = document.createElement("b");
    line.className = className || "";
    if (id) {
      line.setAttribute("data-id", id);
    }
    label.appendChild(document.createTextNode(kind));
    line.appendChild(label);
    line.appendChild(document.createTextNode(text));
    list.appendChild(line);
    if (list.childNodes.length > MAX_SHOWN) {
      list.removeChild(list.firstChild);
    }
    if (atEnd) {
      line.scrollIntoView(false);
    }
  }

  // The project's state

  function fetchState() {
    if (fetching) {
      fetchAgain = true;
      return;
    }
    fetching = true;
    fetchAgain = false;
    var request = new XMLHttpRequest();
    request.open("GET", "/api/v1/projects/" + encodeURIComponent(project));
    request.setRequestHeader("Authorization", "Bearer " + token);
    request.onreadystatechange = function () {
      if (request.readyState !== 4) {
        return;
      }
      fetching = false;
      if (request.status === 200) {
        showState(JSON.parse(request.responseText));
      }
      if (fetchAgain) {
        fetchState();
      }
    };
    request.send();
  }

  function cell(tag, text) {
    var made = document.createElement(tag);
    made.appendChild(document.createTextNode(text));
    return made;
  }

  function showState(state) {
    hasState = true;
    var body = byId("proposals").getElementsByTagName("tbody")[0];
    while (body.firstChild) {
      body.removeChild(body.firstChild);
    }
    for (var i = 0; i < state.proposals.length; i += 1) {
      body.appendChild(proposalRow(state.proposals[i]));
    }
    byId("proposals").hidden = state.proposals.length === 0;
    byId("no-proposals").hidden = state.proposals.length > 0;
  }

  function proposalRow(proposal) {
    var row = document.createElement("tr");
    var name = cell("th", proposal.title);
    var action = document.createElement("td");
    var button = cell("button", "Validate");
    name.setAttribute("scope", "row");
    button.setAttribute("type", "button");
    button.disabled = !isLive;
    button.onclick = function () {
      var run = running["p " + proposal.id];
      send(run ? { type: "cancel_validation", run_id: run } :
        { type: "start_validation", proposal_id: proposal.id });
    };
    button.setAttribute("data-title", proposal.title);
    drawButton(button, proposal.id);
    action.appendChild(button);
    row.setAttribute("data-proposal", proposal.id);
    row.appendChild(name);
    row.appendChild(cell("td", proposal.author));
    row.appendChild(cell("td", proposal.status.replace("_", " ")));
    row.appendChild(action);
    return row;
  }

  function drawButton(button, proposalId) {
    var word = running["p " + proposalId] ? "Cancel" : "Validate";
    if (button.textContent !== word || !button.getAttribute("aria-label")) {
      button.textContent = word;
      button.setAttribute("aria-label", word + " " + button.getAttribute("data-title"));
    }
  }

  function drawButtons() {
    var rows = byId("proposals").getElementsByTagName("tr");
    for (var i = 0; i < rows.length; i += 1) {
      var button = rows[i].getElementsByTagName("button")[0];
      if (button) {
        drawButton(button, rows[i].getAttribute("data-proposal"));
      }
    }
  }

  // The way in

  function signIn() {
    byId("project").value = project || "";
    byId("token").value = "";
    byId("sign-in").hidden = false;
    // Of a project that was never seen nothing is said, not that it has no proposals.
    byId("view").hidden = byId("proposals").hidden;
  }

  function open() {
    byId("project-name").textContent = project;
    lastEventId = remembered(POSITION_KEY + project);
    byId("sign-in").hidden = true;
    byId("view").hidden = false;
    connect();
  }

  function begin() {
    var place = readPairs(window.location.hash);
    if (place.token) {
      remember(TOKEN_KEY, place.token);
      // A token is not for bookmarks and shoulders.
      if (window.history.replaceState) {
        window.history.replaceState(null, "", window.location.pathname + window.location.search +
          "#project=" + encodeURIComponent(place.project || ""));
      }
    }
    project = place.project || null;
    token = place.token || remembered(TOKEN_KEY);
    byId("sign-in").onsubmit = function () {
      project = byId("project").value.replace(/^\s+|\s+$/g, "");
      token = byId("token").value.replace(/^\s+|\s+$/g, "");
      remember(TOKEN_KEY, token);
      if (project && token && socket === null) {
        open();
      }
      return false;
    };
    window.addEventListener("online", reconnectNow, false);
    if (typeof SockJS === "undefined") {
      show("sockjs-client is not installed on the server: run npm ci there", "stopped");
    } else if (project && token) {
      open();
    } else {
      show("Not connected");
      signIn();
    }
  }

  if (document.addEventListener) {
    document.addEventListener("DOMContentLoaded", begin, false);
  }
}());
