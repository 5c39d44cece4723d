/** What runs on behalf of a caller: the ambient task of a called function. */
import { AsyncLocalStorage } from "node:async_hooks";

import { NoRuntimeError } from "../errors.ts";
import type { ActorId } from "../identity.ts";

const ambient = new AsyncLocalStorage<Task | undefined>();

/** One call under way in this actor. Its abort controller is made when somebody asks for the signal. */
export class Task {
  readonly caller: ActorId;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  constructor(caller: ActorId) {
    this.caller = caller;
  }

  /** Aborted when the caller aborts, times out or is gone, or this actor ends; the reason says which. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    // listeners belong to the task, though the abort comes from elsewhere
    if (this.#controller !== undefined) ambient.run(this, () => this.#controller?.abort(reason));
  }

  /** Runs `fn` as this task: `currentTask()` finds it in everything that `fn` awaits. */
  run<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): R {
    return ambient.run(this, fn, ...args);
  }
}

/**
 * The call that the running code serves: its caller, and a signal that fires when the caller aborts, times out or dies.
 *
 * @throws {NoRuntimeError} outside a called function
 */
export function currentTask(): { readonly signal: AbortSignal; readonly caller: ActorId } {
  const task = ambient.getStore();
  if (task === undefined)
    throw new NoRuntimeError("currentTask() works inside a function that was called through a portal");
  return task;
}

/** Runs `fn` outside any task: what it opens (sockets, timers) belongs to the actor, not to whoever called. */
export function outsideTasks<R>(fn: () => R): R {
  return ambient.run(undefined, fn);
}
