/**
 * What runs on behalf of somebody: a called function, or a task of a group. Tasks form a tree; aborting one aborts all
 * that was started in it: the tasks below, and the calls, streams and dialogs that they have under way.
 */
import { AsyncLocalStorage } from "node:async_hooks";

import { NoRuntimeError } from "../errors.ts";
import type { PeerProof } from "../channel/credentials.ts";
import type { ActorId } from "../identity.ts";

const ambient = new AsyncLocalStorage<Task | undefined>();

/** Who calls. */
export interface TaskOrigin {
  readonly id: ActorId;
  readonly proof: PeerProof;
}

/** How the caller proved who it is; see `PeerProof`. */
export interface TaskPeer {
  readonly auth: PeerProof["auth"];
  /** Of a caller of the same user, where the system tells. */
  readonly uid?: number;
  /** Whose certificate it showed, with TLS. */
  readonly subject?: string;
}

export class Task {
  /** On whose behalf it runs; undefined for a group outside any call. */
  readonly origin: TaskOrigin | undefined;
  /** Made when somebody asks for the signal. */
  #controller: AbortController | undefined;
  #reason: unknown;
  #aborted = false;
  #listeners: Set<(reason: unknown) => void> | undefined;

  constructor(origin: TaskOrigin | undefined) {
    this.origin = origin;
  }

  /** Aborted when the caller aborts, times out or is gone, or this actor ends; the reason says which. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener(reason);
    // the user's listeners belong to the task, though the abort comes from elsewhere
    if (this.#controller !== undefined) ambient.run(this, () => this.#controller?.abort(reason));
  }

  /** Hears of the abort before the signal does; at once when it has happened. Returns how to stop listening. */
  onAbort(listener: (reason: unknown) => void): () => void {
    if (this.#aborted) {
      listener(this.#reason);
      return () => {};
    }
    const listeners = (this.#listeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** `work`, unless this is aborted first: then its reason, and nobody hears how the work ends. */
  follow<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = this.onAbort(reject);
      work.then(
        (value) => {
          stop();
          resolve(value);
        },
        (error: unknown) => {
          stop();
          reject(error);
        },
      );
    });
  }

  /** As `run`, for a function with arguments. */
  apply<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
    return ambient.run(this, applied<A, R>, fn, args);
  }

  /** Runs `fn` as this task: `currentTask()` finds it in everything that `fn` awaits. */
  run<R>(fn: () => R): R {
    return ambient.run(this, fn);
  }
}

function applied<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
  return fn(...args);
}

/**
 * The call that the running code serves: its caller, how that proved who it is, and a signal that fires when the caller
 * aborts, times out or dies.
 *
 * @throws {NoRuntimeError} outside a called function
 */
export function currentTask(): {
  readonly signal: AbortSignal;
  readonly caller: ActorId;
  readonly peer: TaskPeer;
} {
  const task = ambient.getStore();
  const origin = task?.origin;
  if (task === undefined || origin === undefined) {
    throw new NoRuntimeError("currentTask() works inside a function that was called through a portal");
  }
  return {
    caller: origin.id,
    get peer() {
      return shownProof(origin.proof);
    },
    get signal() {
      return task.signal;
    },
  };
}

function shownProof(proof: PeerProof): TaskPeer {
  if (proof.auth !== "secret") return Object.freeze({ ...proof });
  return Object.freeze({ auth: "secret" });
}

/** The task that the running code belongs to, if any. */
export function ambientTask(): Task | undefined {
  return ambient.getStore();
}

/** Runs `fn` outside any task: what it opens (sockets, timers) belongs to the actor, not to whoever called. */
export function outsideTasks<R>(fn: () => R): R {
  return inTask(undefined, fn);
}

/** Runs `fn` as `task`, or outside any. */
export function inTask<R>(task: Task | undefined, fn: () => R): R {
  return ambient.run(task, fn);
}
