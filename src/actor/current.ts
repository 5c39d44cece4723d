/** The actor of this process, for code that isn't given one. */
import { NoRuntimeError, RuntimeExistsError } from "../errors.ts";
import type { Actor } from "./actor.ts";
import type { Runtime } from "./runtime.ts";

let current: Runtime | "booting" | undefined;
/** Called with each runtime of this process. */
let watchers: readonly ((runtime: Runtime) => void)[] = [];

/**
 * The actor of this process.
 *
 * @throws {NoRuntimeError} when there is none: before `openRootActor` or `openNursery`, or after the actor has ended
 */
export function currentActor(): Actor {
  return currentRuntime();
}

/** As `currentActor`, for the runtime's own parts. */
export function currentRuntime(): Runtime {
  if (current === undefined || current === "booting") {
    throw new NoRuntimeError("this process has no actor: call openRootActor() or openNursery() first");
  }
  return current;
}

/** Whether this process has an actor, or is booting one. */
export function hasRuntime(): boolean {
  return current !== undefined;
}

/** Whether this process is booting an actor. */
export function isBooting(): boolean {
  return current === "booting";
}

/**
 * Reserves the process for an actor that is about to boot.
 *
 * @throws {RuntimeExistsError} when the process already has an actor, or is booting one
 */
export function reserveRuntime(): void {
  if (current !== undefined) {
    const state = current === "booting" ? "is already booting one" : `already runs "${current.name}"`;
    throw new RuntimeExistsError(`a process can have only one actor, and this one ${state}`);
  }
  current = "booting";
}

/** Makes `runtime` the actor of this process; undefined when a boot failed or the actor has ended. */
export function setRuntime(runtime: Runtime | undefined): void {
  current = runtime;
  if (runtime !== undefined) for (const watcher of watchers) watcher(runtime);
}

/** Calls `watcher` with the actor of this process, if there is one, and with each later one; returns an undo function. */
export function watchRuntime(watcher: (runtime: Runtime) => void): () => void {
  watchers = [...watchers, watcher];
  if (current !== undefined && current !== "booting") watcher(current);
  return () => {
    watchers = watchers.filter((one) => one !== watcher);
  };
}
