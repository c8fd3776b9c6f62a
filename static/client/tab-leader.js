/** The tab that has the connection, and tells the others what comes. See `tabs.js`. */
import { CommandError } from "./errors.js";
import { comparePositions, earlier } from "./positions.js";
import { STOPPED, TIMING } from "./policy.js";
import { presenceFrame, withPresence } from "./presence.js";

/** A command that a follower sent so long ago is one that it has given this tab up for. */
const FRESH_MS = 2_000;
/** One that is this late says that this tab stood still, and may have lost the lock meanwhile. */
const PROMPT_MS = 200;

export class Leader {
  name = "leader";
  #seat;
  #link = null;
  #disposed = false;
  /** The followers that said hello: id to {position, view}. */
  #tabs = new Map();
  /** The position up to which the followers were told, so that they notice what did not come. */
  #told = null;
  #lastWelcome = null;
  /** Who is there, for tabs that come later; null while that is not known. */
  #people = null;
  /** Commands that wait for the first connection. Those of other tabs say which one they are from. */
  #left = [];
  #hasBeenLive = false;

  /** @param {object} seat what `SharedLink` gives its roles */
  constructor(seat) {
    this.#seat = seat;
  }

  get carriesCommands() {
    return this.#link?.carriesCommands ?? false;
  }

  /** The earliest position of any tab, this one at `own`. */
  earliest(own) {
    let position = own;
    for (const tab of this.#tabs.values()) position = earlier(position, tab.position);
    return position;
  }

  open(position) {
    const { options, state, setState } = this.#seat;
    this.#told = position;
    this.#link = options.makeLink(this.#linkSink(), position, this.#union());
    for (const tab of this.#tabs.keys()) this.#admit(tab);
    const { name, because } = state();
    // After "replaced" and the like, a change of leader is no reason to try again unasked.
    const final = ![STOPPED.unauthorized, STOPPED.closed].includes(because);
    if (name === "stopped" && final) setState(state());
    else this.#link.start();
  }

  dispose() {
    this.#disposed = true; // What the link still says is not passed on.
    this.#link?.stop();
    this.#refuseLeft();
  }

  /**
   * Carry out what this tab asked of the leader before, when there is a connection.
   *
   * @param {{type: string, fields: object, resolve: Function, reject: Function,
   *   since: number}[]} commands
   */
  takeOver(commands) {
    this.#left.push(...commands);
  }

  /** Commands of this tab that it did not come to, for the next leader. */
  unsent() {
    const own = this.#left.filter(({ from }) => from === undefined);
    this.#left = this.#left.filter(({ from }) => from !== undefined);
    return own;
  }

  wake(kind) {
    this.#link?.wake(kind);
  }

  offline() {
    this.#link?.offline();
  }

  rebase(position) {
    // Others may not have got that far.
    if (this.#tabs.size === 0) this.#link?.rebase(position);
  }

  rewind(position) {
    this.#link?.rewind(position);
  }

  tokenChanged() {
    this.#link?.tokenChanged();
  }

  setView() {
    this.#link?.setView(this.#union());
  }

  request(type, fields) {
    if (this.#link) return this.#link.request(type, fields);
    return Promise.reject(
      new CommandError("not_connected", "There is no connection to send this on."),
    );
  }

  // ---- from the other tabs ----------------------------------------------------------------------

  receive(data) {
    if (data.kind === "hello") {
      this.#hello(data);
    } else if (data.kind === "bye") {
      this.#tabs.delete(data.from);
    } else if (data.kind === "request") {
      this.#serve(data);
    } else if (data.kind === "ask" && this.#link) {
      this.#seat.post({ kind: "here", to: data.from, quiet: this.#link.quiet });
    } else if (data.kind === "wake" && this.#link) {
      this.#link.wake(data.wake);
      this.#seat.post({ kind: "state", state: this.#seat.state() });
    }
  }

  #hello({ from, position, view }) {
    const before = JSON.stringify(this.#union());
    this.#tabs.set(from, { position, view });
    if (!this.#link) return; // Still gathering: it is answered when the link is there.
    const union = this.#union();
    if (JSON.stringify(union) !== before) this.#link.setView(union);
    const { name } = this.#seat.state();
    const order = comparePositions(position, this.#link.position);
    if (name !== "live" && name !== "stale" && order !== null && order < 0) {
      this.#link.rewind(position);
      this.#told = position;
    }
    this.#admit(from);
  }

  #admit(tab) {
    this.#seat.post({
      kind: "joined",
      to: tab,
      position: this.#link.position,
      state: this.#seat.state(),
      welcome: this.#lastWelcome,
      presence: this.#people && presenceFrame(this.#people),
    });
  }

  #serve(request) {
    const { env } = this.#seat;
    const late = env.now() - request.sent;
    if (late > FRESH_MS) return; // The follower will send it itself.
    if (late < PROMPT_MS) this.#carryOut(request);
    else env.setTimeout(() => this.#disposed || this.#carryOut(request), PROMPT_MS);
  }

  #carryOut({ from, id, type, fields }) {
    const { env, post } = this.#seat;
    post({ kind: "taken", to: from, id });
    const answer = (more) => post({ kind: "answer", to: from, id, ...more });
    const resolve = (ack) => answer({ ack });
    const reject = ({ reason, message, detail }) => answer({ error: { reason, message, detail } });
    if (this.#hasBeenLive) this.#link.request(type, fields).then(resolve, reject);
    else this.#left.push({ from, type, fields, resolve, reject, since: env.monotonic() });
  }

  #union() {
    const views = [this.#seat.view(), ...[...this.#tabs.values()].map((tab) => tab.view)];
    const whole = views.some((view) => view.proposals.length === 0);
    return {
      proposals: whole ? [] : [...new Set(views.flatMap((view) => view.proposals))],
      focus: [...new Set(views.flatMap((view) => view.focus))],
    };
  }

  // ---- from the link ----------------------------------------------------------------------------

  #linkSink() {
    const { post, sink, deliver, session, setState, leave } = this.#seat;
    const tell = {
      state: (state) => {
        setState(state);
        post({ kind: "state", state });
        if (state.name === "live") this.#sendLeft();
        if (state.name === "stopped") this.#refuseLeft();
        // Another tab may have a token that is still good.
        if (state.name === "stopped" && state.because === STOPPED.unauthorized) leave();
      },
      event: (frame, low) => {
        // Copying for nobody would cost more than all the rest. Whoever comes reads the history.
        if (this.#tabs.size > 0) post({ kind: "event", frame, low, after: this.#told });
        this.#told = low;
        deliver(frame, low);
      },
      session: (frame) => {
        if (frame.type === "welcome") this.#lastWelcome = frame;
        if (frame.type === "presence") {
          this.#people = withPresence(this.#people ?? { present: [], count: 0 }, frame);
        }
        if (frame.type === "position") this.#tellPosition(frame);
        else if (frame.request_id === undefined) post({ kind: "session", frame });
        session(frame);
      },
      gap: (frame) => {
        post({ kind: "gap", frame });
        sink.gap(frame);
      },
      resumed: (info) => {
        // The welcome may have moved the position past what was for this user.
        this.#tellPosition({ type: "position", id: this.#link.position });
        post({ kind: "resumed", info });
        sink.resumed(info);
      },
      problem: (error) => sink.problem(error),
    };
    const unlessDisposed = ([name, say]) => [
      name,
      (...args) => {
        if (!this.#disposed) say(...args);
      },
    ];
    return Object.fromEntries(Object.entries(tell).map(unlessDisposed));
  }

  #sendLeft() {
    this.#hasBeenLive = true;
    const now = this.#seat.env.monotonic();
    for (const { type, fields, resolve, reject, since } of this.#left.splice(0)) {
      // Whoever asked was told by then that it was not answered in time.
      if (now - since > TIMING.request_timeout_ms) continue;
      this.#link.request(type, fields).then(resolve, reject);
    }
  }

  #refuseLeft() {
    for (const { reject } of this.#left.splice(0)) {
      reject(new CommandError("not_connected", "There was no connection to send this on."));
    }
  }

  #tellPosition(frame) {
    this.#seat.post({ kind: "session", frame, after: this.#told });
    this.#told = frame.id;
  }
}
