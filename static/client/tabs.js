/**
 * One connection for all tabs of a browser that show the same project as the same user.
 *
 * The tab that holds a Web Lock leads: it has the link, and passes what comes by BroadcastChannel
 * (`tab-leader.js`). The others follow (`tab-follower.js`); when the leader's tab goes, the browser
 * gives the lock to one of them, and it resumes from the earliest position that any tab has. Every
 * tab lets each event through once, so it does not matter that some come twice. Tokens never
 * travel between tabs.
 */
import { CommandError } from "./errors.js";
import { DeliveryWindow } from "./positions.js";
import { STOPPED } from "./policy.js";
import { Follower } from "./tab-follower.js";
import { Leader } from "./tab-leader.js";

/** A new leader waits this long to hear where the others are. */
const GATHER_MS = 120;

/** What a narrowed view leaves out. Other events come to a user whatever is viewed. */
const BY_VIEW = /^(validation_|iteration_|output$|token$|run_queued$|status_changed$)/;

export function canShare(env) {
  return typeof env.BroadcastChannel === "function" && typeof env.locks?.request === "function";
}

export class SharedLink {
  #options;
  #env;
  #sink;
  #id;
  #channel = null;
  /** A Leader or a Follower; null while that is not decided. */
  #role = null;
  #releaseLock = null;
  #waitingForLock = null;
  #window;
  #view;
  #state = { name: "connecting", transport: null, attempt: 0, since: null };

  /**
   * @param {object} options
   * @param {string} options.key the same for the tabs that share
   * @param {(sink: object, position: string | null, view: object) => import("./link.js").Link}
   *   options.makeLink
   * @param {(after: string) => Promise<object>} options.history a page, as `Api.history` gives it
   * @param {string | null} options.position
   * @param {{proposals: string[], focus: string[]}} options.view
   * @param {object} env {BroadcastChannel, locks, setTimeout, clearTimeout, now, monotonic, uuid, document}
   * @param {object} sink as for Link
   */
  constructor(options, env, sink) {
    this.#options = options;
    this.#env = env;
    this.#sink = sink;
    this.#id = env.uuid();
    this.#view = options.view;
    this.#window = new DeliveryWindow(options.position);
  }

  get state() {
    return { ...this.#state, shared: this.#role?.name ?? "none" };
  }

  get position() {
    return this.#window.position;
  }

  get carriesCommands() {
    return this.#role?.carriesCommands ?? false;
  }

  start() {
    if (this.#channel) {
      this.wake("manual");
      return;
    }
    this.#channel = new this.#env.BroadcastChannel(this.#options.key);
    this.#channel.onmessage = ({ data }) => {
      if (data.to === undefined || data.to === this.#id) this.#role?.receive(data);
    };
    this.#setState({ name: "connecting", transport: null, attempt: 0, since: null });
    void this.#elect();
  }

  /** Leave the others to go on without this tab. */
  stop(because = STOPPED.closed, detail = {}) {
    this.#leave();
    this.#setState({ name: "stopped", because, reason: detail.reason ?? "", since: null });
  }

  wake(kind) {
    if (this.#channel) this.#role?.wake(kind);
    else if (kind === "manual") this.start();
  }

  offline() {
    this.#role?.offline();
  }

  rebase(position) {
    this.#window.advance(position);
    this.#role?.rebase(position);
  }

  rewind(position) {
    this.#window.rewind(position);
    this.#role?.rewind(position);
  }

  tokenChanged() {
    if (this.#channel) this.#role?.tokenChanged();
    else this.start();
  }

  setView(view) {
    this.#view = view;
    this.#role?.setView();
  }

  request(type, fields = {}) {
    if (this.#role) return this.#role.request(type, fields);
    return Promise.reject(
      new CommandError("not_connected", "There is no connection to send this on."),
    );
  }

  // ---- who leads --------------------------------------------------------------------------------

  async #elect() {
    const { locks } = this.#env;
    try {
      let free = false;
      await locks.request(this.#options.key, { ifAvailable: true }, (lock) => {
        free = lock !== null;
        if (!free || !this.#channel) return undefined;
        const leader = this.#becomeLeader();
        // One that asked in the same moment may have said hello before this tab was leading.
        this.#post({ kind: "leader" });
        leader.open(this.position);
        return this.#holdLock();
      });
      if (!free && this.#channel) this.#follow();
    } catch (error) {
      this.#deposed(error);
    }
  }

  #follow() {
    this.#take(new Follower(this.#seat()));
    this.#role.join();
    this.#waitingForLock = new AbortController();
    this.#askForLock({ signal: this.#waitingForLock.signal });
  }

  /** The leader's tab hangs: a lock is not given up by a page that does not run. */
  #steal() {
    this.#waitingForLock?.abort();
    this.#askForLock({ steal: true });
  }

  #askForLock(how) {
    void this.#env.locks
      .request(this.#options.key, how, () => this.#succeed())
      .catch((error) => {
        // A wait that was given up says nothing about the lock that this tab may have by now.
        if (!how.signal?.aborted) this.#deposed(error);
      });
  }

  async #succeed() {
    if (!this.#channel) return;
    const leader = this.#becomeLeader();
    this.#post({ kind: "leader" });
    await new Promise((resolve) => {
      this.#env.setTimeout(resolve, GATHER_MS);
    });
    if (this.#role !== leader) return;
    leader.open(leader.earliest(this.position));
    await this.#holdLock();
  }

  #becomeLeader() {
    const leader = new Leader(this.#seat());
    this.#take(leader);
    return leader;
  }

  /** Change roles; what was not sent yet is for the new one to send. */
  #take(role) {
    role.takeOver(this.#role?.unsent() ?? []);
    this.#role?.dispose();
    this.#role = role;
  }

  #holdLock() {
    return new Promise((resolve) => {
      this.#releaseLock = resolve;
    });
  }

  /** The lock was taken from this tab. */
  #deposed(error) {
    if (error?.name !== "AbortError") this.#sink.problem(error);
    if (this.#role instanceof Leader && this.#channel) this.#follow();
  }

  #leave() {
    this.#waitingForLock?.abort();
    this.#waitingForLock = null;
    this.#post({ kind: "bye" });
    const role = this.#role;
    this.#role = null;
    role?.dispose();
    this.#releaseLock?.();
    this.#releaseLock = null;
    this.#channel?.close();
    this.#channel = null;
  }

  // ---- what both roles use ----------------------------------------------------------------------

  #seat() {
    return {
      options: this.#options,
      env: this.#env,
      sink: this.#sink,
      window: this.#window,
      view: () => this.#view,
      state: () => this.#state,
      setState: (state) => this.#setState(state),
      post: (message) => this.#post(message),
      deliver: (frame, low) => this.#deliver(frame, low),
      session: (frame) => this.#session(frame),
      steal: () => this.#steal(),
      leave: () => this.#leave(),
    };
  }

  #deliver(frame, low) {
    if (!this.#window.accept(frame.id, low)) return;
    const { proposals } = this.#view;
    const seen =
      proposals.length === 0 ||
      frame.proposal_id === undefined ||
      proposals.includes(frame.proposal_id) ||
      !BY_VIEW.test(frame.type);
    if (seen) this.#sink.event(frame, this.position);
  }

  #session(frame) {
    if (frame.type === "position") this.#window.advance(frame.id);
    this.#sink.session(frame);
  }

  #setState(state) {
    this.#state = state;
    this.#sink.state(this.state);
  }

  #post(message) {
    this.#channel?.postMessage({ ...message, from: this.#id });
  }
}
