/** Where the page starts: a token and a project open the project; without them one signs in. */
import {
  addressOf,
  CHOICE,
  complaintAbout,
  forcedTransports,
  forgetToken,
  isSignedOut,
  projectsOf,
  replaceRoute,
  route,
  storedToken,
  storeToken,
  takeTokenFromAddress,
} from "./address.js";
import { fill, nextTask } from "./dom.js";
import { forgetDrafts } from "./drafts.js";
import { askForToken, offerToken } from "./handover.js";
import { createShell } from "./shell.js";
import { ProjectStore } from "./store.js";
import { claimsOf } from "../client/index.js";
import { loadMarkdown } from "./review/markdown.js";
import { createChoice, createSignIn } from "./views/signin.js";

const SOCKJS_ADDRESS = "/static/vendor/sockjs.min.js";

const root = document.getElementById("app");
let current = null;

function projectFor(token) {
  const named = projectsOf(token);
  return route().project ?? (named?.length === 1 ? named[0] : null);
}

async function begin() {
  takeTokenFromAddress();
  await nextTask(); // What was loaded has just been run, which takes a phone long enough.
  if (storedToken() === null && !isSignedOut()) {
    const handed = await askForToken(route().project);
    if (handed) storeToken(handed);
  }
  const token = storedToken();
  const project = token ? projectFor(token) : route().project;
  const complaint = token === null ? "" : await complaintAbout(token);
  if (!token || complaint) signIn(project, complaint ? "Your last sign-in has expired." : "");
  else if (!project) choose(token);
  else open(token, project);
}

/** The token opens several projects, and the address names none. */
function choose(token) {
  close();
  const { name, sub } = claimsOf(token);
  const panel = createChoice({
    projects: projectsOf(token),
    name: String(name ?? sub ?? ""),
    onChoose: (project) => {
      location.hash = addressOf({ project });
    },
    onSignIn: () => signIn(null, ""),
  });
  document.title = "Choose a project · rtserver";
  fill(root, panel.element);
  panel.focus();
}

/** The token that this tab may give to another: one that the server takes. */
function goodToken() {
  const connection = current?.store.connection;
  const isRefused = connection?.name === "stopped" && connection.because === "unauthorized";
  const isOpen = current?.store.load.phase === "ready";
  return isOpen && !isRefused ? current.store.token : null;
}

function close() {
  current?.shell.destroy();
  current?.store.close();
  current = null;
}

function open(token, project) {
  close();
  const place = route();
  if (place.project !== project) replaceRoute({ ...place, project });
  const store = new ProjectStore({
    project,
    token,
    transports: forcedTransports(),
    loadSockJS,
    focus: place.proposal ? [place.proposal] : [],
  });
  // What is asked for is on its way while the page is built.
  void store.open();
  if (place.proposal) void store.texts.ahead(place.proposal, place);
  const shell = createShell({
    store,
    onSignOut: () => {
      forgetToken();
      forgetDrafts();
      close();
      signIn(project, "You are signed out.");
    },
    onSignIn: (message) => signIn(project, message),
  });
  current = { store, shell, project };
  fill(root, shell.element);
  shell.update();
  if (place.proposal) requestAnimationFrame(() => void nextTask().then(loadAhead));
}

/** What a text will need comes behind the page's first picture. */
function loadAhead() {
  loadMarkdown().catch(() => {}); // Where it is needed it is said that there is none.
}

function signIn(project, message) {
  const panel = createSignIn({
    project,
    message,
    onCancel: current && (() => fill(root, current.shell.element)),
    onSubmit: (token, chosen) => {
      storeToken(token);
      const going = current;
      const same = going && claimsOf(going.store.token).sub === claimsOf(token).sub;
      if (same && going.project === chosen && going.store.load.phase === "ready") {
        // The page goes on where it was: nothing that it knows is thrown away.
        fill(root, going.shell.element);
        going.store.setToken(token);
        return;
      }
      replaceRoute({ ...route(), project: chosen });
      open(token, chosen);
    },
  });
  document.title = "Sign in · rtserver";
  fill(root, panel.element);
  panel.focus();
}

function loadSockJS() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SOCKJS_ADDRESS;
    script.onload = () => resolve(window.SockJS);
    script.onerror = () => reject(new Error("the SockJS library could not be loaded"));
    document.head.append(script);
  });
}

window.addEventListener("hashchange", () => {
  const tokenCame = takeTokenFromAddress();
  const place = route();
  if (location.hash === CHOICE && current) choose(current.store.token);
  else if (tokenCame || !current || (place.project && place.project !== current.project)) void begin();
  else current.shell.update();
});

offerToken(goodToken);

void begin();
