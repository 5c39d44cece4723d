/**
 * Ends an actor, from the first abort to the last connection. The order:
 *
 *  1. New requests are refused, and the actor's signal is aborted, along with every task that runs here for a peer.
 *  2. Those tasks get time to clean up, while the child actors are stopped.
 *  3. The registration is withdrawn: from now on no lookup finds this actor.
 *  4. The program's clean-ups run (`onEnd`), the last one first.
 *  5. The peers that requested the end get their acknowledgement, while they're still connected.
 *  6. Any other work that was registered for the end runs.
 *  7. The listeners and all connections are closed.
 *
 * What fails in steps 2 to 6 is logged, and the next step runs. A failure in step 7 is the caller's, after every `onEnded`
 * listener was called.
 */
import { Deadline, timing } from "../deadline.ts";
import { asError, ContextCancelledError, NoRuntimeError, PermissionDeniedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, outermost, shieldsEndAt, shieldsEnded, type Task } from "../rpc/task.ts";
import { Kind } from "../wire/messages.ts";
import type { CleanUp, CleanUps } from "./clean-ups.ts";

const log = logger("actor");

/** Steps 2, 3 and 6. The phases run in this order; all work of one phase runs concurrently. */
export type EndPhase = "children" | "registration" | "rest";

/** What `Ending` needs from its actor. */
export interface EndingHost {
  readonly id: ActorId;
  readonly limits: Limits;
  /** The sessions whose peers have tasks here. */
  sessions(): readonly Session[];
  /** Step 1: from now on every new request is refused. */
  refuseAll(): void;
  /** Step 4: the registrars don't know this actor any more, but those that are connected to it do. */
  leaveLookups(): void;
  /** Step 7. */
  close(): Promise<void>;
}

export class Ending {
  readonly #host: EndingHost;
  readonly #controller = new AbortController();
  readonly #work: Record<EndPhase, Set<() => Promise<void>>> = {
    children: new Set(),
    registration: new Set(),
    rest: new Set(),
  };
  readonly #listeners = new Set<() => void>();
  #cleanUps: CleanUps | undefined;
  /** Called when the first clean-up is registered. */
  onFirstCleanUp: (() => void) | undefined;
  /** Undefined once they have been called. */
  #acknowledges: Set<() => void> | undefined = new Set();
  /** When descendants that are still ending are done at the latest, by `performance.now()`. */
  #descendantsEndAt = 0;
  /** What took noticeably long. */
  readonly #waits: string[] = [];
  #done: Promise<void> | undefined;

  constructor(host: EndingHost) {
    this.#host = host;
  }

  /** Aborted when the end begins, with its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasBegun(): boolean {
    return this.#done !== undefined;
  }

  /** Registers `work` for a phase; returns a function that withdraws it. */
  at(phase: EndPhase, work: () => Promise<void>): () => void {
    this.#work[phase].add(work);
    return () => this.#work[phase].delete(work);
  }

  /**
   * Registers a clean-up of the program; returns a function that takes it back.
   *
   * @throws as `CleanUps.add`
   */
  onEnd(fn: CleanUp, timeoutMs: number): () => void {
    if (this.#cleanUps === undefined) {
      if (this.#acknowledges === undefined)
        throw new NoRuntimeError("the actor has ended: a clean-up registered now would not run");
      // most actors have none, and start sooner without the file (row `spawn`)
      const cleanUps = require("./clean-ups.ts") as typeof import("./clean-ups.ts");
      this.#cleanUps = new cleanUps.CleanUps();
      this.onFirstCleanUp?.();
    }
    return this.#cleanUps.add(fn, timeoutMs);
  }

  /** How much longer the end may take because of what is bounded by the program, here and in the actors below. */
  get neededMs(): number {
    const others = Math.max(shieldsEndAt(), this.#descendantsEndAt) - performance.now();
    return Math.max(0, others) + (this.#cleanUps?.neededMs ?? 0);
  }

  /** Notes that an actor below may take that long to end. */
  expect(neededMs: number): void {
    this.#descendantsEndAt = Math.max(this.#descendantsEndAt, performance.now() + neededMs);
  }

  /** Notes for the log what the end has waited for since then; a short wait is left out. */
  noteWait(what: string, since: number): void {
    const ms = Math.round(performance.now() - since);
    if (ms >= timing.noticeableMs) this.#waits.push(`${what} (${ms} ms)`);
  }

  /** Registers a function to call when the actor has ended. */
  onEnded(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Begins the end unless it has already begun, and resolves when it's over. `acknowledge` runs as step 5. */
  begin(reason: Error, acknowledge?: () => void): Promise<void> {
    if (acknowledge !== undefined) {
      if (this.#acknowledges === undefined) acknowledge();
      else this.#acknowledges.add(acknowledge);
    }
    if (this.#done === undefined) {
      // set before anything runs: a listener of the signal may begin the end, too
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#done = promise;
      this.#run(reason).then(resolve, reject);
    }
    return this.#done;
  }

  /** Ends the actor because a peer requests it, and acknowledges that. */
  async endFor(session: Session, id: number, verb: string): Promise<void> {
    if (!mayEnd(this.#host.id, session, id)) return;
    const reason = new ContextCancelledError(session.peer.id, verb);
    // a heartbeat, so that the requester keeps waiting: the end takes as long as clean-ups and the children below need
    const beat = setInterval(() => {
      session.peer.channel.post([Kind.stopping, Math.ceil(this.neededMs)]);
    }, this.#host.limits.stopGraceMs / 3);
    const acknowledge = (): void => {
      clearInterval(beat);
      session.reply(id, true);
    };
    await this.begin(reason, acknowledge);
    clearInterval(beat);
  }

  async #run(reason: Error): Promise<void> {
    const host = this.#host;
    const since = performance.now();
    log.info?.(`ending: ${reason.message}`);
    host.refuseAll();
    this.#controller.abort(reason);
    const sessions = host.sessions();
    for (const session of sessions) session.abortTasks(reason);
    await Promise.all([this.#tasksEnded(sessions), this.#runPhase("children")]);
    await this.#runPhase("registration");
    if (this.#cleanUps !== undefined) {
      host.leaveLookups();
      await this.#cleanUps.run((what, from) => this.noteWait(what, from));
    }
    this.#acknowledge();
    await this.#runPhase("rest");
    try {
      await host.close();
    } finally {
      this.#tellEnd(since);
      for (const listener of this.#listeners) listener();
    }
  }

  #acknowledge(): void {
    const acknowledges = this.#acknowledges ?? [];
    this.#acknowledges = undefined;
    for (const acknowledge of acknowledges) acknowledge();
  }

  #tellEnd(since: number): void {
    const waited = this.#waits.length > 0 ? `; waited for ${this.#waits.join(", ")}` : "";
    log.info?.(
      `${describeActor(this.#host.id)} ended after ${Math.round(performance.now() - since)} ms${waited}`,
    );
  }

  /**
   * Gives tasks half of `stopGraceMs` to clean up, and shielded clean-up its own timeout. A task that ignores its abort
   * for longer keeps running as long as the process does, but its result is ignored.
   */
  async #tasksEnded(sessions: readonly Session[]): Promise<void> {
    const since = performance.now();
    const except = ambientTask();
    const own = outermost(except);
    const isLeftOut = (task: Task): boolean => task === own;
    const calls = sessions.flatMap((session) => session.running(isLeftOut));
    const ended = Promise.all(sessions.map((session) => session.tasksEnded(isLeftOut)));
    const bound = new Deadline({ timeout: this.#host.limits.stopGraceMs / 2 }, "end of the tasks");
    try {
      await bound.race("stop", ended);
    } catch {
      const ignoring = sessions.flatMap((session) => session.running(isLeftOut));
      log.warn?.(`ending without tasks that ignored their abort: ${ignoring.join(", ")}`);
    }
    await shieldsEnded(except);
    this.noteWait(calls.length > 0 ? `calls: ${calls.join(", ")}` : "shielded work", since);
  }

  async #runPhase(phase: EndPhase): Promise<void> {
    const work = Array.from(this.#work[phase]);
    this.#work[phase].clear();
    for (const result of await Promise.allSettled(work.map((one) => one()))) {
      if (result.status === "rejected") log.warn?.(`while ending: ${asError(result.reason).message}`);
    }
  }
}

/** Whether the peer may end the actor; if not, it gets that for an answer. */
export function mayEnd(actor: ActorId, session: Session, id: number): boolean {
  if (session.permissions.mayStop()) return true;
  const text = `the policy of ${describeActor(actor)} doesn't let this peer stop it`;
  session.replyError(id, new PermissionDeniedError(text));
  return false;
}
