/**
 * Ends an actor, from the first abort to the last connection. The order:
 *
 *  1. The actor's signal is aborted, along with every task that runs here for a peer.
 *  2. Those tasks get time to clean up, while the child actors are stopped.
 *  3. The registration is withdrawn: from now on no lookup finds this actor.
 *  4. The peer that requested the end gets its acknowledgement, while it's still connected.
 *  5. Any other work that was registered for the end runs.
 *  6. The listeners and all connections are closed.
 *
 * What fails in steps 2 to 5 is logged, and the next step runs. A failure in step 6 is the caller's, after every `onEnded`
 * listener was called.
 */
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask } from "../rpc/task.ts";
import { shieldsEnded } from "../rpc/task-group.ts";

const log = logger("actor");

/** Steps 2, 3 and 5. The phases run in this order; all work of one phase runs concurrently. */
export type EndPhase = "children" | "registration" | "rest";

/** What `Ending` needs from its actor. */
export interface EndingHost {
  readonly id: ActorId;
  readonly limits: Limits;
  /** The sessions whose peers have tasks here. */
  sessions(): readonly Session[];
  /** Step 6. */
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

  /** Registers a function to call when the actor has ended. */
  onEnded(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Begins the end unless it has already begun, and resolves when it's over. Only the `acknowledge` of the call that
   * begins it runs, as step 4.
   */
  begin(reason: Error, acknowledge: () => void = () => {}): Promise<void> {
    this.#done ??= this.#run(reason, acknowledge);
    return this.#done;
  }

  async #run(reason: Error, acknowledge: () => void): Promise<void> {
    const host = this.#host;
    log.info?.(`ending: ${reason.message}`);
    this.#controller.abort(reason);
    const sessions = host.sessions();
    for (const session of sessions) session.abortTasks(reason);
    await Promise.all([this.#tasksEnded(sessions), this.#runPhase("children")]);
    await this.#runPhase("registration");
    acknowledge();
    await this.#runPhase("rest");
    try {
      await host.close();
    } finally {
      log.info?.(`${describeActor(host.id)} ended`);
      for (const listener of this.#listeners) listener();
    }
  }

  /**
   * Gives tasks half of `stopGraceMs` to clean up, and shielded clean-up its own timeout. A task that ignores its abort
   * for longer keeps running as long as the process does, but its result is ignored.
   */
  async #tasksEnded(sessions: readonly Session[]): Promise<void> {
    const except = ambientTask();
    const ended = Promise.all(sessions.map((session) => session.tasksEnded(except)));
    const bound = new Deadline({ timeout: this.#host.limits.stopGraceMs / 2 }, "end of the tasks");
    try {
      await bound.race("stop", ended);
    } catch {
      log.warn?.("some tasks ignored their abort; ending without them");
    }
    await shieldsEnded(except);
  }

  async #runPhase(phase: EndPhase): Promise<void> {
    const work = Array.from(this.#work[phase]);
    this.#work[phase].clear();
    for (const result of await Promise.allSettled(work.map((one) => one()))) {
      if (result.status === "rejected") log.warn?.(`while ending: ${asError(result.reason).message}`);
    }
  }
}
