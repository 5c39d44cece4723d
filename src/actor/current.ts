/** The actor of this process, for all that is called without one at hand. */
import { NoRuntimeError, RuntimeExistsError } from "../errors.ts";
import type { Actor } from "./actor.ts";
import type { Runtime } from "./runtime.ts";

let current: Runtime | "booting" | undefined;

/**
 * The actor of this process.
 *
 * @throws {NoRuntimeError} when there is none: before `openRootActor` or `openNursery`, or after the end
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

/** Whether an actor runs here, or is about to. */
export function hasRuntime(): boolean {
  return current !== undefined;
}

/** Whether an actor is about to run here. */
export function isBooting(): boolean {
  return current === "booting";
}

/**
 * Reserves the process for an actor that is about to boot.
 *
 * @throws {RuntimeExistsError} when there is one
 */
export function reserveRuntime(): void {
  if (current !== undefined) {
    const who = current === "booting" ? "one is booting" : `"${current.name}" runs`;
    throw new RuntimeExistsError(`there is one actor to a process, and ${who} in this one`);
  }
  current = "booting";
}

/** Makes `runtime` the actor of this process, or nothing when a boot failed or the actor has ended. */
export function setRuntime(runtime: Runtime | undefined): void {
  current = runtime;
}
