/**
 * A task is a running call, or a task in a group. Tasks form a tree: aborting one also aborts everything started in it,
 * that is, the tasks below it and their calls, streams and dialogs in flight.
 */
import type { AsyncLocalStorage } from "node:async_hooks";

import { NoRuntimeError } from "../errors.ts";
import type { PeerProof } from "../channel/credentials.ts";
import type { ActorId } from "../identity.ts";
import type { Permissions } from "./policy.ts";

/** The task of the running code. Created with the first task: loading it takes a millisecond of an actor's start. */
let ambient: AsyncLocalStorage<Task | undefined> | undefined;

function createAmbient(): AsyncLocalStorage<Task | undefined> {
  const { AsyncLocalStorage: Storage } = process.getBuiltinModule("node:async_hooks");
  return (ambient = new Storage());
}

/** The caller, and what the task hears of the actor that it runs in. */
export interface TaskOrigin {
  readonly id: ActorId;
  readonly proof: PeerProof;
  /** What the caller may do here. */
  readonly permissions: Permissions;
  /** Why the actor drains, once it does. */
  readonly drainReason: Error | undefined;
}

/** How the caller proved its identity; see `PeerProof`. */
export interface TaskPeer {
  readonly auth: PeerProof["auth"];
  /** The user id of a caller of the same user, on systems that report it. */
  readonly uid?: number;
  /** The subject of its certificate, with TLS. */
  readonly subject?: string;
}

export class Task {
  /** The caller that it runs for; undefined for a group outside any call. */
  readonly origin: TaskOrigin | undefined;
  /** Created when the signal is first used. */
  #controller: AbortController | undefined;
  #reason: unknown;
  #aborted = false;
  #listeners: Set<(reason: unknown) => void> | undefined;

  constructor(origin: TaskOrigin | undefined) {
    this.origin = origin;
  }

  /** Aborted when the caller aborts, times out or disconnects, or this actor ends; the reason says which. */
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
    // the user's listeners belong to the task, even though the abort comes from elsewhere
    if (this.#controller !== undefined) inTask(this, () => this.#controller?.abort(reason));
  }

  /**
   * Calls `listener` on abort, before the signal fires; immediately if the task is already aborted. Returns an
   * unsubscribe function.
   */
  onAbort(listener: (reason: unknown) => void): () => void {
    if (this.#aborted) {
      listener(this.#reason);
      return () => {};
    }
    const listeners = (this.#listeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /**
   * Settles as `work` does, or rejects with the reason if the task is aborted first; the outcome of `work` is then
   * lost.
   */
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

  /** As `run`, but passes arguments to `fn`. */
  apply<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
    return (ambient ?? createAmbient()).run(this, applied<A, R>, fn, args);
  }

  /** Runs `fn` as this task: `currentTask()` returns it in `fn` and everything that `fn` awaits. */
  run<R>(fn: () => R): R {
    return (ambient ?? createAmbient()).run(this, fn);
  }
}

function applied<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
  return fn(...args);
}

/** The task that a group, or a shield, was opened in. */
const enclosing = new WeakMap<Task, Task>();

/** A task below `outer`, for a group or a shield. */
export function innerTask(outer: Task | undefined): Task {
  const task = new Task(outer?.origin);
  if (outer !== undefined) enclosing.set(task, outer);
  return task;
}

/** The call that a task belongs to, however many groups and shields are in between. */
export function outermost(task: Task | undefined): Task | undefined {
  let outer = task;
  for (let at = task; at !== undefined; at = enclosing.get(at)) outer = at;
  return outer;
}

/** One for each call that has asked for its signal: what listens to it goes with the call. */
const drainings = new WeakMap<Task, AbortController>();

/** The signal that tells a call that its actor drains. Created when it's first used. */
export function drainingSignal(task: Task): AbortSignal {
  const call = outermost(task) ?? task;
  let controller = drainings.get(call);
  if (controller === undefined) {
    drainings.set(call, (controller = new AbortController()));
    const reason = call.origin?.drainReason;
    if (reason !== undefined) controller.abort(reason);
  }
  return controller.signal;
}

/** Tells a call that its actor drains. */
export function fireDraining(call: Task, reason: Error): void {
  const controller = drainings.get(call);
  if (controller !== undefined) inTask(call, () => controller.abort(reason));
}

/** The calls that a drain doesn't wait for. */
const unattended = new WeakSet<Task>();

/** Lets the actor drain while the running call goes on: it may wait for others for ever. */
export function leaveUnattended(): void {
  const task = outermost(ambientTask());
  if (task !== undefined) unattended.add(task);
}

export function isUnattended(task: Task): boolean {
  return unattended.has(task);
}

/**
 * The call that the running code serves: the caller, how it proved its identity, and two signals. `signal` fires when
 * the caller aborts, times out or dies, or when this actor ends: stop now. `draining` fires when this actor begins to
 * drain: come to an end soon; until the drain's timeout nothing is cut short.
 *
 * @throws {NoRuntimeError} outside a called function
 */
export function currentTask(): {
  readonly signal: AbortSignal;
  readonly draining: AbortSignal;
  readonly caller: ActorId;
  readonly peer: TaskPeer;
} {
  const task = ambientTask();
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
    get draining() {
      return drainingSignal(task);
    },
  };
}

function shownProof(proof: PeerProof): TaskPeer {
  if (proof.auth !== "secret") return Object.freeze({ ...proof });
  return Object.freeze({ auth: "secret" });
}

/** The task that the running code belongs to, if there is one. */
export function ambientTask(): Task | undefined {
  return ambient?.getStore();
}

/** Leaves what else belongs to the running call, while something does. */
let leave: (<R>(fn: () => R) => R) | undefined;

/** Runs `fn` outside any task: what it opens (sockets, timers) belongs to the actor, not to the running call. */
export function outsideTasks<R>(fn: () => R): R {
  return leave === undefined ? inTask(undefined, fn) : leave(() => inTask(undefined, fn));
}

/** Has `outsideTasks` run everything in `exit`; returns an undo function. */
export function leaveWith(exit: <R>(fn: () => R) => R): () => void {
  leave = exit;
  return () => (leave = undefined);
}

/** Runs `fn` as `task`; undefined runs it outside any task. */
export function inTask<R>(task: Task | undefined, fn: () => R): R {
  if (task === undefined && ambient === undefined) return fn();
  return (ambient ?? createAmbient()).run(task, fn);
}

/** The shielded work that runs in this process, with when it ends at the latest; see `shield`. */
export const shields: Map<Task, { readonly work: Promise<unknown>; readonly endsAt: number }> = new Map();

/**
 * Resolves when all shielded work now running in this process has ended, except that of `except`. Each has a timeout.
 */
export async function shieldsEnded(except: Task | undefined): Promise<void> {
  const others = Array.from(shields).filter(([task]) => task !== except);
  await Promise.allSettled(others.map(([, { work }]) => work));
}

/** When the last shielded work now running in this process has ended at the latest, by `performance.now()`; 0 for none. */
export function shieldsEndAt(): number {
  let latest = 0;
  for (const { endsAt } of shields.values()) latest = Math.max(latest, endsAt);
  return latest;
}
