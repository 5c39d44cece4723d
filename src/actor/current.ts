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
 * @throws {NoRuntimeError} when there is none: before `openRootActor` or `openNursery`, after the actor has ended, or
 *   with `openClient`
 */
export function currentActor(): Actor {
  return actorRuntime();
}

/** As `currentActor`, for the runtime's own parts. */
export function actorRuntime(): Runtime {
  const runtime = currentRuntime();
  if (runtime.isClient) {
    throw new NoRuntimeError("this process has no actor: a client (openClient) only looks and calls");
  }
  return runtime;
}

/** The actor or client of this process: whoever looks up names and calls. */
export function currentRuntime(): Runtime {
  if (current === undefined || current === "booting") {
    throw new NoRuntimeError(
      "this process has no actor: call openRootActor() or openNursery() first, or openClient() to look and call only",
    );
  }
  return current;
}

/** Whether this process has an actor or a client, or is opening one. */
export function hasRuntime(): boolean {
  return current !== undefined;
}

/** Whether this process has an actor that has booted. */
export function hasActor(): boolean {
  return current !== undefined && current !== "booting" && !current.isClient;
}

/** Whether this process is booting an actor, or opening a client. */
export function isBooting(): boolean {
  return current === "booting";
}

/**
 * Reserves the process for an actor that is about to boot, or for a client.
 *
 * @throws {RuntimeExistsError} when the process already has one of them, or is opening it
 */
export function reserveRuntime(): void {
  if (current !== undefined)
    throw new RuntimeExistsError(
      `a process can have only one actor or client, and this one ${stateOf(current)}`,
    );
  current = "booting";
}

function stateOf(runtime: Runtime | "booting"): string {
  if (runtime === "booting") return "is already opening one";
  return runtime.isClient ? "has a client open: close that first" : `already runs "${runtime.name}"`;
}

/** Makes `runtime` the actor or client of this process; undefined when it couldn't be opened or has ended. */
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
